/* HTTP/1.1 and HTTP/2 as far as the client needs them: GETs, and answers whose length is told. */
#define _GNU_SOURCE
#include "client.h"
#include <strings.h>

enum { FRAME_DATA, FRAME_HEADERS, FRAME_RESET = 3, FRAME_SETTINGS, FRAME_PING = 6, FRAME_GOAWAY, FRAME_WINDOW };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, PRIORITY = 32 };
/* As h2load's: no server ever waits for a window. */
enum { WINDOW = (1 << 30) - 1, WINDOW_INITIAL = 65535 };

static char h1_text[512], h2_block[512];
static size_t h1_length, h2_length;

void http_settings(const struct settings *settings) {
  if (strlen(settings->target) > 100) fail("the target is too long");
  h1_length = (size_t)snprintf(h1_text, sizeof h1_text, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
                               settings->target, settings->is_new ? "Connection: close\r\n" : "");
  char *at = h2_block;
  *at++ = (char)0x82;                             /* :method GET */
  *at++ = (char)(settings->is_tls ? 0x87 : 0x86); /* :scheme */
  at += sprintf(at, "%c%c%s", 0x04, (int)strlen(settings->target), settings->target);
  at += sprintf(at, "%c%c%s", 0x01, 9, "localhost"); /* :authority */
  h2_length = (size_t)(at - h2_block);
}

static void put(struct connection *c, const void *bytes, size_t length) {
  if (c->out_length + length > sizeof c->out) fail("the other side does not read");
  memcpy(c->out + c->out_length, bytes, length);
  c->out_length += length;
}

static void consume(struct connection *c, size_t used) {
  c->in_length -= used;
  memmove(c->in, c->in + used, c->in_length);
}

void h1_request(struct connection *c, int64_t due) {
  c->due[0] = due;
  put(c, h1_text, h1_length);
}

/* Length of the body that this head announces. */
static size_t content_length(char *head, char *end) {
  static const char name[] = "\r\ncontent-length:";
  *end = 0;
  char *found = strcasestr(head, name);
  if (!found) fail("an answer without content-length: %.100s", head);
  return strtoul(found + sizeof name - 1, NULL, 10);
}

void h1_received(struct connection *c) {
  if (!c->is_in_body) {
    char *end = memmem(c->in, c->in_length, "\r\n\r\n", 4);
    if (!end) {
      if (c->in_length == sizeof c->in) fail("a head is too long");
      return;
    }
    if (memcmp(c->in, "HTTP/1.1 200", 12)) fail("an answer begins with %.30s", c->in);
    size_t used = (size_t)(end + 4 - c->in);
    c->body_left = content_length(c->in, end);
    c->is_in_body = 1;
    consume(c, used);
  }
  if (c->in_length > c->body_left) fail("an answer is longer than it says");
  c->body_left -= c->in_length;
  c->in_length = 0;
  if (c->body_left) return;
  c->is_in_body = 0;
  answered(c, c->due[0]);
}

static void put_frame(struct connection *c, int type, int flags, uint32_t stream, const void *payload, size_t length) {
  unsigned char head[9] = {(unsigned char)(length >> 16), (unsigned char)(length >> 8), (unsigned char)length,
                           (unsigned char)type, (unsigned char)flags, (unsigned char)(stream >> 24),
                           (unsigned char)(stream >> 16), (unsigned char)(stream >> 8), (unsigned char)stream};
  put(c, head, sizeof head);
  put(c, payload, length);
}

static void put_window(struct connection *c, uint32_t more) {
  unsigned char payload[4] = {(unsigned char)(more >> 24), (unsigned char)(more >> 16), (unsigned char)(more >> 8),
                              (unsigned char)more};
  put_frame(c, FRAME_WINDOW, 0, 0, payload, sizeof payload);
}

void h2_begin(struct connection *c) {
  static const unsigned char wanted[] = {0, 2, 0, 0, 0, 0,                 /* ENABLE_PUSH: no */
                                         0, 4, 0x3f, 0xff, 0xff, 0xff};    /* INITIAL_WINDOW_SIZE: WINDOW */
  put(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
  put_frame(c, FRAME_SETTINGS, 0, 0, wanted, sizeof wanted);
  put_window(c, WINDOW - WINDOW_INITIAL);
  c->next_id = 1;
}

/* The place of a stream. 0 finds a free one. */
static size_t place_of(struct connection *c, uint32_t id) {
  for (size_t at = 0; at < STREAMS_MAX; at++)
    if (c->ids[at] == id) return at;
  fail("there is no stream %u", id);
}

void h2_request(struct connection *c, int64_t due) {
  size_t at = place_of(c, 0);
  c->ids[at] = c->next_id;
  c->due[at] = due;
  c->good[at] = 0;
  put_frame(c, FRAME_HEADERS, END_STREAM | END_HEADERS, c->next_id, h2_block, h2_length);
  c->next_id += 2;
}

/* Whether a block of fields begins with `:status 200`; before it there may be changes of the table's size. */
static int is_200(const unsigned char *block, size_t length, int flags) {
  size_t at = (size_t)(flags & PADDED ? 1 : 0) + (size_t)(flags & PRIORITY ? 5 : 0);
  while (at < length && (block[at] & 0xe0) == 0x20) {
    if ((block[at] & 0x1f) == 0x1f)
      while (++at < length && block[at] & 0x80) {}
    at++;
  }
  return at < length && block[at] == 0x88;
}

static void taken(struct connection *c, uint32_t length) {
  c->unacked += length;
  if (c->unacked < WINDOW / 4) return;
  put_window(c, c->unacked);
  c->unacked = 0;
}

static void h2_frame(struct connection *c, int type, int flags, uint32_t id, const unsigned char *data, uint32_t size) {
  switch (type) {
  case FRAME_HEADERS: {
    size_t at = place_of(c, id);
    if (!c->good[at] && !is_200(data, size, flags)) fail("an answer on stream %u is no 200", id);
    c->good[at] = 1;
    break;
  }
  case FRAME_DATA: taken(c, size); break;
  case FRAME_SETTINGS:
    if (!(flags & ACK)) put_frame(c, FRAME_SETTINGS, ACK, 0, "", 0);
    return;
  case FRAME_PING:
    if (!(flags & ACK)) put_frame(c, FRAME_PING, ACK, 0, data, size);
    return;
  case FRAME_RESET: fail("stream %u was reset", id);
  case FRAME_GOAWAY: fail("a connection is to be closed");
  default: return;
  }
  if (!(flags & END_STREAM)) return;
  size_t at = place_of(c, id);
  if (!c->good[at]) fail("an answer on stream %u has no head", id);
  c->ids[at] = 0;
  answered(c, c->due[at]);
}

void h2_received(struct connection *c) {
  size_t used = 0;
  while (c->in_length - used >= 9) {
    const unsigned char *frame = (unsigned char *)c->in + used;
    uint32_t size = (uint32_t)frame[0] << 16 | (uint32_t)frame[1] << 8 | frame[2];
    if (size > sizeof c->in - 9) fail("a frame is too long");
    if (c->in_length - used < 9 + size) break;
    uint32_t id = (uint32_t)(frame[5] & 0x7f) << 24 | (uint32_t)frame[6] << 16 | (uint32_t)frame[7] << 8 | frame[8];
    h2_frame(c, frame[3], frame[4], id, frame + 9, size);
    used += 9 + size;
  }
  consume(c, used);
}
