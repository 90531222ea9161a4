/* Writes or reads keys through libmemcached: peer KEYFILE write|read HASH DISTRIBUTION PREFIX HOST:PORT:WEIGHT…
 *
 * The words for a distribution are those of our addresses. An empty PREFIX is none; another is hashed, too.
 * The value of a key is "of " and the key. Says nothing when all went well. */
#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static memcached_st *memc;

static void must(memcached_return_t result, const char *what) {
  if (result == MEMCACHED_SUCCESS) return;
  fprintf(stderr, "%s: %s\n", what, memcached_last_error_message(memc));
  exit(1);
}

static memcached_hash_t hash_of(const char *name) {
  for (int hash = MEMCACHED_HASH_DEFAULT; hash < MEMCACHED_HASH_MAX; hash++) {
    const char *const known = libmemcached_string_hash((memcached_hash_t) hash);
    if (!strcasecmp(known, name)) return (memcached_hash_t) hash;
  }
  fprintf(stderr, "no hash %s\n", name);
  exit(2);
}

int main(int count, char **words) {
  if (count < 7) {
    fprintf(stderr, "usage: peer KEYFILE write|read HASH DISTRIBUTION PREFIX HOST:PORT:WEIGHT...\n");
    return 2;
  }
  const int writes = !strcmp(words[2], "write");
  const char *const distribution = words[4];
  memc = memcached_create(NULL);
  must(memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_HASH, hash_of(words[3])), "hash");
  if (!strcmp(distribution, "consistent"))
    must(memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_CONSISTENT), "set");
  for (int at = 6; at < count; at++) {
    char host[256];
    unsigned port, weight;
    if (sscanf(words[at], "%255[^:]:%u:%u", host, &port, &weight) != 3) return 2;
    must(memcached_server_add_with_weight(memc, host, (in_port_t) port, weight), "server");
  }
  if (!strcmp(distribution, "ketama"))
    must(memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_KETAMA, 1), "ketama");
  if (!strcmp(distribution, "ketama_weighted"))
    must(memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1), "ketama weighted");
  if (!strcmp(distribution, "consistent_weighted"))
    must(memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_CONSISTENT_WEIGHTED),
         "consistent weighted");
  if (*words[5]) {
    must(memcached_callback_set(memc, MEMCACHED_CALLBACK_NAMESPACE, words[5]), "namespace");
    must(memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_HASH_WITH_PREFIX_KEY, 1), "hash with namespace");
  }
  FILE *file = fopen(words[1], "r");
  if (!file) return 2;
  char key[256], expected[300];
  while (fgets(key, sizeof(key), file)) {
    key[strcspn(key, "\n")] = 0;
    const int length = snprintf(expected, sizeof(expected), "of %s", key);
    if (writes) {
      must(memcached_set(memc, key, strlen(key), expected, (size_t) length, 0, 0), key);
      continue;
    }
    size_t found;
    uint32_t flags;
    memcached_return_t result;
    char *value = memcached_get(memc, key, strlen(key), &found, &flags, &result);
    must(result, key);
    if (found != (size_t) length || memcmp(value, expected, found)) {
      fprintf(stderr, "%s: another value\n", key);
      return 1;
    }
    free(value);
  }
  fclose(file);
  memcached_free(memc);
  return 0;
}
