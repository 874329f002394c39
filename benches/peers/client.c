/* The client of the measurements that other load generators do not make.
 *
 *   client WAY PORT TARGET key=value...
 *
 * WAY: h1 (HTTP/1.1), h1s (by TLS), h2 (HTTP/2 by TLS), h2c (in plain text).
 *   rate=N         open loop: N requests a second, evenly spaced, sent when they are due whether or not answers have
 *                  come. The time of an answer counts from when its request was due: what waits for a free connection
 *                  or for this process counts too. 0 (as without it): closed loop, as many at once as `at_once` says.
 *   seconds=S      how long requests are sent; requests=N: how many are, instead
 *   connections=C  kept connections, used in turn; streams=M: requests at once on each (HTTP/2 only)
 *   at_once=N      closed loop: requests at once (as without it: all that the connections can carry)
 *   new=1          a new connection for each request, at most C at once; resume=1: by the last ticket
 *   hold=1         keeps the connections open in the end until standard input ends
 *
 * TLS is 1.3 with X25519; the certificate is not looked at. Prints one line of JSON. Whatever is not a whole answer
 * with status 200 ends the run with a message. One thread, one epoll. What needs HPACK is written out: requests in
 * literals, and of answers only the first field, `:status 200`, which every encoder sends as the byte 0x88.
 */
#define _GNU_SOURCE
#include "client.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>

static struct sockaddr_in address;
static SSL_CTX *tls;
static SSL_SESSION *ticket;
static int epoll, resumed;
static struct settings settings;
static struct connection *connections, **idle;
static size_t idle_first, idle_count, open_count;
static struct timing timing;

void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("client: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  exit(1);
}

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* A place for a request on a connection is free, or was taken: `idle` is a queue with an entry for each place. */
static void put_idle(struct connection *c) {
  idle[(idle_first + idle_count++) % settings.places] = c;
}

static struct connection *take_idle(void) {
  struct connection *c = idle[idle_first];
  idle_first = (idle_first + 1) % settings.places;
  idle_count--;
  return c;
}

static int keep_ticket(SSL *ssl, SSL_SESSION *session) {
  (void)ssl;
  SSL_SESSION_free(ticket);
  ticket = session;
  return 1;
}

static void set_up_tls(void) {
  tls = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
  SSL_CTX_set1_groups_list(tls, "X25519");
  SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  const char *protocols = settings.is_h2 ? "\x02h2" : "\x08http/1.1";
  SSL_CTX_set_alpn_protos(tls, (const unsigned char *)protocols, (unsigned)strlen(protocols));
  if (settings.resume) {
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls, keep_ticket);
  }
}

static void start(struct connection *c) {
  int on = 1;
  memset(c, 0, offsetof(struct connection, in));
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) fail("socket: %s", strerror(errno));
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
    fail("connect: %s", strerror(errno));
  c->state = CONNECTING;
  open_count++;
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event)) fail("epoll_ctl: %s", strerror(errno));
  if (!tls) return;
  c->ssl = SSL_new(tls);
  SSL_set_fd(c->ssl, c->fd);
  SSL_set_tlsext_host_name(c->ssl, "localhost");
  if (settings.resume && ticket) {
    /* A copy: OpenSSL calls a session used up once one handshake by it has ended. */
    SSL_SESSION *copy = SSL_SESSION_dup(ticket);
    SSL_set_session(c->ssl, copy);
    SSL_SESSION_free(copy);
  }
  SSL_set_connect_state(c->ssl);
}

static void end(struct connection *c) {
  if (c->ssl) {
    /* Else the session would be taken for broken, and its ticket not be used again. */
    SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(c->ssl);
  }
  close(c->fd);
  c->state = CLOSED;
  open_count--;
}

/* Bytes read, 0 at the end of the stream, -1 when there is nothing now. */
static ssize_t take(struct connection *c, char *to, size_t room) {
  /* What follows an answer is read past TLS: a missing close_notify would spoil the ticket. */
  if (!c->ssl || c->state == CLOSING) {
    ssize_t n = recv(c->fd, to, room, 0);
    if (n < 0 && errno != EAGAIN && errno != ECONNRESET) fail("recv: %s", strerror(errno));
    return n < 0 && errno == ECONNRESET ? 0 : n;
  }
  int n = SSL_read(c->ssl, to, (int)room);
  if (n > 0) return n;
  int error = SSL_get_error(c->ssl, n);
  ERR_clear_error();
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? -1 : 0;
}

/* Sends what waits, as far as there is room. */
static void flush(struct connection *c) {
  while (c->out_length) {
    ssize_t n;
    if (c->ssl) {
      n = SSL_write(c->ssl, c->out, (int)c->out_length);
      if (n <= 0 && SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_WRITE) return;
    } else {
      n = send(c->fd, c->out, c->out_length, MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) return;
    }
    if (n <= 0) fail("a connection broke while a request was sent");
    c->out_length -= (size_t)n;
    memmove(c->out, c->out + n, c->out_length);
  }
}

void answered(struct connection *c, int64_t due) {
  int64_t now = nanoseconds();
  if (timing.answered < timing.room) timing.took[timing.answered] = (uint32_t)((now - due) / 100);
  timing.answered++;
  timing.last = now;
  if (!settings.is_new) {
    put_idle(c);
    return;
  }
  c->state = CLOSING; /* The server closes: then its port is what waits, not ours. */
}

static void ready(struct connection *c) {
  if (c->ssl && SSL_session_reused(c->ssl)) resumed++;
  c->state = OPEN;
  if (settings.is_h2) h2_begin(c);
  if (settings.is_new) h1_request(c, c->due[0]);
  else
    for (size_t place = 0; place < settings.streams; place++) put_idle(c);
}

/* A socket that became readable or writable. Edge-triggered: goes on until there is nothing to do. */
static void serve(struct connection *c, uint32_t events) {
  if (c->state == CONNECTING) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) fail("connect: %s", strerror(error));
    if (!(events & EPOLLOUT)) return;
    c->state = c->ssl ? SHAKING : OPEN;
    if (!c->ssl) ready(c);
  }
  if (c->state == SHAKING) {
    int n = SSL_do_handshake(c->ssl);
    if (n != 1) {
      int error = SSL_get_error(c->ssl, n);
      if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return;
      fail("handshake: %s", ERR_error_string(ERR_peek_error(), NULL));
    }
    ready(c);
  }
  for (;;) {
    flush(c);
    ssize_t n = take(c, c->in + c->in_length, sizeof c->in - c->in_length);
    if (n < 0) return;
    if (n == 0) {
      if (c->state != CLOSING) fail("a connection was closed");
      end(c);
      return;
    }
    if (c->state == CLOSING) continue;
    c->in_length += (size_t)n;
    if (settings.is_h2) h2_received(c);
    else h1_received(c);
  }
}

/* Starts the request that was due then, if there is a place for it. */
static int dispatch(int64_t due, int64_t now) {
  struct connection *c = NULL;
  if (settings.is_new) {
    if (open_count >= settings.connections) return 0;
    for (size_t at = 0; !c; at++)
      if (connections[at].state == CLOSED) c = &connections[at];
    start(c);
    c->due[0] = due;
  } else {
    if (!idle_count) return 0;
    c = take_idle();
    if (settings.is_h2) h2_request(c, due);
    else h1_request(c, due);
    flush(c);
  }
  if (timing.sent < timing.room) timing.late[timing.sent] = (uint32_t)((now - due) / 100);
  timing.sent++;
  return 1;
}

/* Sends all that is due; when the next one is, or -1 when there is none or no place for it. */
static int64_t send_due(void) {
  for (;;) {
    int64_t now = nanoseconds();
    if (settings.requests ? timing.sent >= settings.requests : now >= timing.until) {
      timing.is_over = 1;
      return -1;
    }
    if (settings.rate <= 0) {
      if (timing.sent - timing.answered >= settings.at_once || !dispatch(now, now)) return -1;
      continue;
    }
    int64_t due = timing.began + (int64_t)((double)timing.sent * 1e9 / settings.rate);
    if (due >= timing.until) timing.is_over = 1;
    if (timing.is_over) return -1;
    if (due > now) return due;
    if (!dispatch(due, now)) return -1;
  }
}

static void wait_for_events(void) {
  struct epoll_event events[256];
  int n = epoll_wait(epoll, events, 256, timing.patience_ms);
  if (n == 0) fail("nothing came for %d ms; %zu of %zu answered", timing.patience_ms, timing.answered, timing.sent);
  for (int i = 0; i < n; i++) {
    struct connection *c = events[i].data.ptr;
    uint64_t expired;
    if (c && c->state != CLOSED) serve(c, events[i].events);
    else if (!c && read(timing.timer, &expired, sizeof expired) < 0 && errno != EAGAIN) fail("no timer");
  }
}

static void arm(int64_t due) {
  static int64_t armed;
  if (due == armed) return;
  armed = due;
  struct itimerspec at = {.it_value = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000}};
  timerfd_settime(timing.timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static int by_size(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

/* Microseconds that a share of the values is not above. */
static double quantile(uint32_t *sorted, size_t count, double share) {
  return count ? sorted[(size_t)((double)(count - 1) * share)] / 10.0 : 0;
}

static void report(void) {
  size_t count = timing.answered < timing.room ? timing.answered : timing.room;
  qsort(timing.took, count, sizeof *timing.took, by_size);
  qsort(timing.late, count, sizeof *timing.late, by_size);
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
               (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
  printf("{\"requests\": %zu, \"seconds\": %.6f, \"resumed\": %d, \"cpu_seconds\": %.3f, ", timing.answered,
         (double)(timing.last - timing.began) / 1e9, resumed, cpu);
  printf("\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, ",
         quantile(timing.took, count, 0.5), quantile(timing.took, count, 0.9), quantile(timing.took, count, 0.99),
         quantile(timing.took, count, 0.999), quantile(timing.took, count, 1));
  printf("\"late_p50_us\": %.1f, \"late_p99_us\": %.1f}\n", quantile(timing.late, count, 0.5),
         quantile(timing.late, count, 0.99));
  fflush(stdout);
}

static void set_up(void) {
  address.sin_family = AF_INET;
  address.sin_port = htons((unsigned short)settings.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connections = calloc(settings.connections, sizeof *connections);
  idle = calloc(settings.places, sizeof *idle);
  timing.room = settings.rate > 0 ? (size_t)(settings.rate * settings.seconds) + 1 : CLOSED_LOOP_TIMES_MAX;
  timing.took = calloc(timing.room, sizeof *timing.took);
  timing.late = calloc(timing.room, sizeof *timing.late);
  if (!connections || !idle || !timing.took || !timing.late) fail("no memory");
  timing.patience_ms = PATIENCE_MS;
  epoll = epoll_create1(0);
  timing.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, timing.timer, &event)) fail("epoll_ctl: %s", strerror(errno));
  if (settings.is_tls) set_up_tls();
}

int main(int count, char **arguments) {
  signal(SIGPIPE, SIG_IGN);
  settings = settings_of(count, arguments);
  set_up();
  /* A few at a time: none waits in a queue of the server, none costs it memory for work that others do too. */
  for (size_t at = 0; !settings.is_new && at < settings.connections;) {
    while (at < settings.connections && open_count * settings.streams < idle_count + 16 * settings.streams)
      start(&connections[at++]);
    wait_for_events();
  }
  while (!settings.is_new && idle_count < settings.places) wait_for_events();
  if (settings.resume) { /* The first ticket; not counted. */
    dispatch(nanoseconds(), nanoseconds());
    while (!timing.answered) wait_for_events();
    timing.sent = timing.answered = 0;
    resumed = 0;
  }
  timing.began = nanoseconds();
  timing.until = timing.began + (int64_t)(settings.seconds * 1e9);
  if (settings.rate <= 0 && !settings.requests) arm(timing.until);
  while (!timing.is_over || timing.answered < timing.sent) {
    int64_t next = timing.is_over ? -1 : send_due();
    if (next >= 0) arm(next);
    if (!timing.is_over || timing.answered < timing.sent) wait_for_events();
  }
  report();
  char byte;
  while (settings.hold && read(0, &byte, 1) > 0) {}
  return 0;
}
