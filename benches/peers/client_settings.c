/* The command line of the client; client.c says what it means. */
#include "client.h"

static double number(const char *text) {
  char *end;
  double value = strtod(text, &end);
  if (*end || end == text || value < 0) fail("not a number: %s", text);
  return value;
}

static void set(struct settings *settings, const char *word) {
  const char *sign = strchr(word, '=');
  size_t length = sign ? (size_t)(sign - word) : 0;
  double value = sign ? number(sign + 1) : 0;
  struct {
    const char *name;
    double *real;
    size_t *whole;
    int *flag;
  } known[] = {
      {"rate", &settings->rate, NULL, NULL},         {"seconds", &settings->seconds, NULL, NULL},
      {"requests", NULL, &settings->requests, NULL}, {"connections", NULL, &settings->connections, NULL},
      {"streams", NULL, &settings->streams, NULL},   {"at_once", NULL, &settings->at_once, NULL},
      {"new", NULL, NULL, &settings->is_new},        {"resume", NULL, NULL, &settings->resume},
      {"hold", NULL, NULL, &settings->hold},
  };
  for (size_t at = 0; at < sizeof known / sizeof *known; at++) {
    if (strlen(known[at].name) != length || strncmp(known[at].name, word, length)) continue;
    if (known[at].real) *known[at].real = value;
    else if (known[at].whole) *known[at].whole = (size_t)value;
    else *known[at].flag = value != 0;
    return;
  }
  fail("unknown: %s", word);
}

struct settings settings_of(int count, char **arguments) {
  struct settings settings = {.seconds = 1, .connections = 1, .streams = 1};
  if (count < 4) fail("usage: client h1|h1s|h2|h2c PORT TARGET key=value...");
  const char *way = arguments[1];
  settings.is_h2 = !strncmp(way, "h2", 2);
  settings.is_tls = !strcmp(way, "h1s") || !strcmp(way, "h2");
  if (!settings.is_h2 && !settings.is_tls && strcmp(way, "h1")) fail("unknown: %s", way);
  settings.port = (int)number(arguments[2]);
  settings.target = arguments[3];
  for (int at = 4; at < count; at++) set(&settings, arguments[at]);
  if (settings.streams > (settings.is_h2 ? STREAMS_MAX : 1) || !settings.streams || !settings.connections)
    fail("streams: 1 to %d, more than one by HTTP/2 only", STREAMS_MAX);
  if (settings.is_new && settings.is_h2) fail("new=1 is for HTTP/1.1");
  settings.places = settings.connections * settings.streams;
  if (!settings.at_once || settings.at_once > settings.places) settings.at_once = settings.places;
  http_settings(&settings);
  return settings;
}
