/* The origin behind the proxies under test: far cheaper than any of them, so that the proxy is what is measured.
 *
 * One thread, one epoll; as many ports as arguments, all on loopback. GET /64k gets 64 KiB, anything else 1 KiB,
 * both prepared at start. HTTP/1.1 with keep-alive and pipelining; no bodies in requests, nothing else.
 * Usage: origin PORT [PORT ...]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 65536, HEAD_MAX = 8192, EVENTS_MAX = 256 };

struct answer {
  char *bytes;
  size_t length;
};

struct connection {
  int is_listener;
  int closes;         /* the client asked to close after the answer */
  size_t head_length; /* bytes of head[] in use */
  const char *out;    /* what is still to be sent */
  size_t out_length;
  char head[HEAD_MAX];
};

static struct connection *connections[CONNECTIONS_MAX];
static struct answer small, large;
static int epoll;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static struct answer prepare(size_t body) {
  char head[256];
  int n = snprintf(head, sizeof head,
                   "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", body);
  struct answer answer = {malloc((size_t)n + body), (size_t)n + body};
  if (!answer.bytes) fail("malloc");
  memcpy(answer.bytes, head, (size_t)n);
  memset(answer.bytes + n, 'x', body);
  return answer;
}

static void watch(int fd, int is_listener) {
  if (fd >= CONNECTIONS_MAX) {
    close(fd);
    return;
  }
  struct connection *c = calloc(1, sizeof *c);
  if (!c) fail("calloc");
  c->is_listener = is_listener;
  connections[fd] = c;
  struct epoll_event event = {.events = is_listener ? EPOLLIN : EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
}

static void listen_on(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on)) fail("socket");
  if (bind(fd, (struct sockaddr *)&address, sizeof address)) fail("bind");
  if (listen(fd, 4096)) fail("listen");
  watch(fd, 1);
}

static void accept_all(int listener) {
  int fd, on = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(fd, 0);
  }
}

static void drop(int fd) {
  free(connections[fd]);
  connections[fd] = NULL;
  close(fd);
}

/* Sends what waits. 1: all sent; 0: the socket is full; -1: the connection is gone. */
static int flush(int fd, struct connection *c) {
  while (c->out_length) {
    ssize_t n = send(fd, c->out, c->out_length, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    c->out += n;
    c->out_length -= (size_t)n;
  }
  return c->closes ? -1 : 1;
}

/* Takes one whole head from the front of the buffer and starts its answer. 0 when there is none yet. */
static int take_head(struct connection *c) {
  char *end = memmem(c->head, c->head_length, "\r\n\r\n", 4);
  if (!end) return 0;
  const struct answer *answer = memcmp(c->head, "GET /64k", 8) ? &small : &large;
  end[2] = 0; /* the head is a string now, for the search below */
  c->closes = strcasestr(c->head, "\r\nconnection: close\r\n") != NULL;
  c->out = answer->bytes;
  c->out_length = answer->length;
  size_t used = (size_t)(end + 4 - c->head);
  c->head_length -= used;
  memmove(c->head, c->head + used, c->head_length);
  return 1;
}

/* Edge-triggered: goes on until the socket has nothing to read or no room to write. */
static void serve(int fd, struct connection *c) {
  for (;;) {
    int sent = flush(fd, c);
    if (sent < 0) break;
    if (sent == 0) return;
    if (take_head(c)) continue;
    ssize_t n = recv(fd, c->head + c->head_length, HEAD_MAX - c->head_length, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) break;
    c->head_length += (size_t)n;
  }
  drop(fd);
}

int main(int count, char **arguments) {
  signal(SIGPIPE, SIG_IGN);
  small = prepare(1024);
  large = prepare(65536);
  epoll = epoll_create1(0);
  if (epoll < 0) fail("epoll_create1");
  if (count < 2) fail("usage: origin PORT [PORT ...]");
  for (int i = 1; i < count; i++) listen_on(atoi(arguments[i]));
  struct epoll_event events[EVENTS_MAX];
  for (;;) {
    int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      struct connection *c = connections[fd];
      if (!c) continue;
      if (c->is_listener) accept_all(fd);
      else serve(fd, c);
    }
  }
}
