/* What libmodsecurity 3 makes of requests: which logged rules match, and whether one refuses a request.
 *
 * Reads a request a line, as `../engines.py` writes it: fields in base64, separated by spaces, `-` for an empty one:
 * id, method, uri, version, body, status and body of the response, number of request headers, then names and values of
 * those headers and of the response's. Writes a line for each: id (in base64), id of the rule that refused it or 0,
 * status or 0, ids of matched rules that log, in order, separated by commas. With `-bench N` it writes the id and how many
 * microseconds of CPU a transaction costs: best of 5 means of N. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <modsecurity/intervention.h>
#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>

enum { FIELDS_MAX = 4096, MATCHED_MAX = 4096, BEST_OF = 5, FIXED = 8 };

struct bytes {
  unsigned char *data; /* ends with a null byte beside its length */
  size_t length;
};

struct request {
  struct bytes fields[FIELDS_MAX];
  int count;
};

struct matched {
  int ids[MATCHED_MAX];
  int count;
};

struct refusal {
  int id;
  int status;
};

static void fail(const char *what) {
  fprintf(stderr, "modsecurity: %s\n", what);
  exit(1);
}

static int digit(int c) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *found = c == 0 ? NULL : strchr(digits, c);
  return found == NULL ? -1 : (int)(found - digits);
}

static struct bytes decode(const char *text) {
  struct bytes out = {malloc(strlen(text) + 1), 0};
  unsigned bits = 0, held = 0;
  if (out.data == NULL) fail("no memory");
  for (; digit(*text) >= 0; text++) {
    bits = (bits << 6 | (unsigned)digit(*text)) & 0xFFFFFF;
    held += 6;
    if (held >= 8) {
      held -= 8;
      out.data[out.length++] = (unsigned char)(bits >> held);
    }
  }
  out.data[out.length] = 0;
  return out;
}

static void read_request(char *line, struct request *request) {
  char *rest = NULL;
  request->count = 0;
  for (char *field = strtok_r(line, " \n", &rest); field != NULL; field = strtok_r(NULL, " \n", &rest)) {
    if (request->count == FIELDS_MAX) fail("a request has too many fields");
    request->fields[request->count++] = decode(strcmp(field, "-") == 0 ? "" : field);
  }
  if (request->count < FIXED) fail("a request has too few fields");
}

static void free_request(struct request *request) {
  for (int i = 0; i < request->count; i++) free(request->fields[i].data);
}

static int id_in(const char *message) {
  const char *found = message == NULL ? NULL : strstr(message, "[id \"");
  return found == NULL ? 0 : atoi(found + strlen("[id \""));
}

static void on_log(void *data, const void *message) {
  struct matched *matched = data;
  int id = id_in(message);
  if (matched != NULL && id != 0 && matched->count < MATCHED_MAX) matched->ids[matched->count++] = id;
}

static int is_refused(Transaction *tx, struct refusal *refusal) {
  ModSecurityIntervention found = {0};
  found.status = 200;
  if (msc_intervention(tx, &found) == 0 || !found.disruptive) return 0;
  refusal->id = id_in(found.log);
  refusal->status = found.status;
  free(found.log);
  free(found.url);
  return 1;
}

static void phases(Transaction *tx, const struct request *request, struct refusal *refusal) {
  const struct bytes *fields = request->fields;
  int headers_end = FIXED + 2 * atoi((const char *)fields[7].data);
  int at = FIXED;
  msc_process_connection(tx, "127.0.0.1", 12345, "127.0.0.1", 80);
  msc_process_uri(tx, (const char *)fields[2].data, (const char *)fields[1].data, (const char *)fields[3].data);
  for (; at + 1 < request->count && at < headers_end; at += 2)
    msc_add_n_request_header(tx, fields[at].data, fields[at].length, fields[at + 1].data, fields[at + 1].length);
  msc_process_request_headers(tx);
  if (is_refused(tx, refusal)) return;
  if (fields[4].length > 0) msc_append_request_body(tx, fields[4].data, fields[4].length);
  msc_process_request_body(tx);
  if (is_refused(tx, refusal)) return;
  for (; at + 1 < request->count; at += 2)
    msc_add_n_response_header(tx, fields[at].data, fields[at].length, fields[at + 1].data, fields[at + 1].length);
  msc_process_response_headers(tx, atoi((const char *)fields[5].data), "HTTP 1.1");
  if (is_refused(tx, refusal)) return;
  if (fields[6].length > 0) msc_append_response_body(tx, fields[6].data, fields[6].length);
  msc_process_response_body(tx);
  is_refused(tx, refusal);
}

static struct refusal transaction(ModSecurity *engine, RulesSet *rules, const struct request *request,
                                  struct matched *matched) {
  struct refusal refusal = {0, 0};
  Transaction *tx = msc_new_transaction(engine, rules, matched);
  phases(tx, request, &refusal);
  msc_process_logging(tx);
  msc_transaction_cleanup(tx);
  return refusal;
}

static double thread_microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double cost(ModSecurity *engine, RulesSet *rules, const struct request *request, int rounds) {
  double best = 0;
  for (int attempt = 0; attempt < BEST_OF; attempt++) {
    double before = thread_microseconds();
    for (int i = 0; i < rounds; i++) transaction(engine, rules, request, NULL);
    double mean = (thread_microseconds() - before) / rounds;
    if (attempt == 0 || mean < best) best = mean;
  }
  return best;
}

static void print_judgement(const char *id, struct refusal refusal, const struct matched *matched) {
  printf("%s %d %d ", id, refusal.id, refusal.status);
  for (int i = 0; i < matched->count; i++) printf("%s%d", i == 0 ? "" : ",", matched->ids[i]);
  printf("\n");
}

int main(int count, char **arguments) {
  static struct request request;
  static struct matched matched;
  int rounds = 0;
  char *line = NULL;
  size_t capacity = 0;
  ModSecurity *engine = msc_init();
  RulesSet *rules = msc_create_rules_set();
  msc_set_log_cb(engine, on_log);
  for (int i = 1; i + 1 < count; i += 2) {
    const char *error = NULL;
    int loaded = 0;
    if (strcmp(arguments[i], "-rules") == 0)
      loaded = msc_rules_add_file(rules, arguments[i + 1], &error);
    else if (strcmp(arguments[i], "-directive") == 0)
      loaded = msc_rules_add(rules, arguments[i + 1], &error);
    else if (strcmp(arguments[i], "-bench") == 0)
      rounds = atoi(arguments[i + 1]);
    else
      fail("options are -rules FILE, -directive TEXT and -bench N");
    if (loaded < 0) fail(error);
  }
  while (getline(&line, &capacity, stdin) > 0) {
    char *id = strndup(line, strcspn(line, " \n"));
    read_request(line, &request);
    matched.count = 0;
    if (rounds > 0) {
      printf("%s %.3f\n", id, cost(engine, rules, &request, rounds));
    } else {
      struct refusal refusal = transaction(engine, rules, &request, &matched);
      print_judgement(id, refusal, &matched);
    }
    fflush(stdout);
    free_request(&request);
    free(id);
  }
  free(line);
  msc_rules_cleanup(rules);
  msc_cleanup(engine);
  return 0;
}
