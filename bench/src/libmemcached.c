/* What libmemcached's C library makes of the work that bench/src/bin/memcached-client.rs does: the same
 * arguments, the same keys and values, the same line of JSON.
 *
 * libmemcached-client MODE DEPTH SECONDS HOST:PORT...
 * MODE: get or set. DEPTH 1: one after the other, each waited for; more: so many at a time, gets by one
 * multi-get, sets by the library's buffering of requests.
 */
#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { KEYS = 10000, VALUE = 100 };

static char keys[KEYS][16];
static char value[VALUE];

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static double cpu(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void check(memcached_st *client, memcached_return_t result, const char *what) {
  if (memcached_success(result) || result == MEMCACHED_BUFFERED) return;
  fprintf(stderr, "%s: %s\n", what, memcached_last_error_message(client));
  exit(1);
}

static void set(memcached_st *client, int number) {
  check(client, memcached_set(client, keys[number], strlen(keys[number]), value, VALUE, 0, 0), "set");
}

static void get(memcached_st *client, int number) {
  size_t length;
  uint32_t flags;
  memcached_return_t result;
  char *found = memcached_get(client, keys[number], strlen(keys[number]), &length, &flags, &result);
  check(client, result, "get");
  if (length != VALUE) exit(1);
  free(found);
}

static void get_many(memcached_st *client, int first, int count) {
  const char *names[count];
  size_t lengths[count];
  for (int i = 0; i < count; i++) {
    names[i] = keys[(first + i) % KEYS];
    lengths[i] = strlen(names[i]);
  }
  check(client, memcached_mget(client, names, lengths, count), "mget");
  memcached_result_st result;
  memcached_result_create(client, &result);
  memcached_return_t state;
  int found = 0;
  while (memcached_fetch_result(client, &result, &state)) found += memcached_result_length(&result) == VALUE;
  memcached_result_free(&result);
  if (found != count) {
    fprintf(stderr, "mget: %d of %d\n", found, count);
    exit(1);
  }
}

int main(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: %s get|set DEPTH SECONDS HOST:PORT...\n", argv[0]);
    return 2;
  }
  int gets = strcmp(argv[1], "get") == 0, depth = atoi(argv[2]);
  double seconds = atof(argv[3]);
  memset(value, 'x', VALUE);
  for (int i = 0; i < KEYS; i++) snprintf(keys[i], sizeof keys[i], "bench:%05d", i);

  memcached_st *client = memcached_create(NULL);
  memcached_behavior_set(client, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1);
  memcached_behavior_set(client, MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_CONSISTENT);
  for (int i = 4; i < argc; i++) {
    char *colon = strrchr(argv[i], ':');
    *colon = 0;
    check(client, memcached_server_add(client, argv[i], atoi(colon + 1)), "server");
  }
  for (int i = 0; i < KEYS; i++) set(client, i);
  if (!gets && depth > 1) memcached_behavior_set(client, MEMCACHED_BEHAVIOR_BUFFER_REQUESTS, 1);

  long done = 0;
  double began = now(), used = cpu();
  while (now() - began < seconds) {
    for (int turn = 0; turn < 100; turn++) {
      if (gets && depth > 1) {
        get_many(client, done % KEYS, depth);
        done += depth;
        if (turn * depth > 1000) break;
      } else {
        if (gets) get(client, done % KEYS);
        else set(client, done % KEYS);
        done++;
        if (!gets && depth > 1 && done % depth == 0) check(client, memcached_flush_buffers(client), "flush");
      }
    }
  }
  double elapsed = now() - began;
  printf("{\"operations\": %ld, \"seconds\": %f, \"cpu\": %f}\n", done, elapsed, cpu() - used);
  memcached_free(client);
  return 0;
}
