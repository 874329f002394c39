/* What the files of the client share: client.c drives, client_http.c knows HTTP, client_settings.c the command line. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  IN_MAX = 32 * 1024,
  OUT_MAX = 32 * 1024,
  STREAMS_MAX = 128,
  PATIENCE_MS = 20000,
  CLOSED_LOOP_TIMES_MAX = 4000000
};

struct settings {
  int is_tls, is_h2, is_new, resume, hold, port;
  const char *target;
  double rate, seconds;
  size_t requests, connections, streams, at_once;
  size_t places; /* for requests at once: connections times streams */
};

enum state { CLOSED, CONNECTING, SHAKING, OPEN, CLOSING };

struct connection {
  int fd;
  enum state state;
  SSL *ssl;
  size_t body_left;               /* HTTP/1: of the answer under way, when is_in_body */
  int is_in_body;
  uint32_t next_id, unacked;      /* HTTP/2: of the next stream; bytes taken since the last window update */
  uint32_t ids[STREAMS_MAX];      /* HTTP/2: of the streams under way, 0: free */
  unsigned char good[STREAMS_MAX]; /* its head came, with status 200 */
  int64_t due[STREAMS_MAX];       /* when the request was due */
  size_t in_length, out_length;
  char in[IN_MAX], out[OUT_MAX];
};

struct timing {
  int64_t began, until, last;
  size_t sent, answered, room;
  int is_over, timer, patience_ms;
  uint32_t *took, *late; /* tenths of a microsecond: answer after due, sent after due */
};

void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
struct settings settings_of(int count, char **arguments);

/* A request whose answer is whole: its place is free again. */
void answered(struct connection *c, int64_t due);

void http_settings(const struct settings *settings);
void h1_request(struct connection *c, int64_t due);
void h1_received(struct connection *c);
void h2_begin(struct connection *c);
void h2_request(struct connection *c, int64_t due);
void h2_received(struct connection *c);
