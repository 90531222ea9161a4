/* Prints what libmemcached says about keys: their hashes, and their servers under each distribution.
 * README.md beside this file tells how it is built and which version made the files checked in.
 *
 *   make hashes   "HEXKEY HASH…", a column a hash
 *   make servers  "ADDRESS SERVERS", a letter a key in the order of `hashes`
 *   make strings  "SERVERS STRING", the same for configuration strings; "-" where one is refused
 */
#include <libmemcached/memcached.h>
#include <libhashkit-1.0/hashkit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 200
#define LENGTH(array) (sizeof(array) / sizeof *(array))

#ifdef HSIEH
/* libmemcached's own function, which Debian's library leaves out. */
uint32_t hashkit_hsieh(const char *key, size_t length, void *context);
#endif

struct key { char text[256]; size_t length; };
static struct key keys[KEYS];

static const struct { const char *name; memcached_hash_t hash; } hashes[] = {
  { "default", MEMCACHED_HASH_DEFAULT },   { "md5", MEMCACHED_HASH_MD5 },
  { "crc", MEMCACHED_HASH_CRC },           { "fnv1_64", MEMCACHED_HASH_FNV1_64 },
  { "fnv1a_64", MEMCACHED_HASH_FNV1A_64 }, { "fnv1_32", MEMCACHED_HASH_FNV1_32 },
  { "fnv1a_32", MEMCACHED_HASH_FNV1A_32 }, { "jenkins", MEMCACHED_HASH_JENKINS },
  { "murmur", MEMCACHED_HASH_MURMUR },     { "murmur3", MEMCACHED_HASH_MURMUR3 },
#ifdef HSIEH
  { "hsieh", MEMCACHED_HASH_HSIEH },
#endif
};

struct server { const char *host; int port; int weight; };
#define MOST 32
static const struct server lists[][MOST] = {
  { { "10.0.0.1", 11211, 0 } },
  { { "cache", 11300, 5 } },
  { { "10.0.0.1", 11211, 0 }, { "10.0.0.2", 11211, 0 } },
  { { "10.0.0.1", 11211, 1 }, { "10.0.0.2", 11212, 9 } },
  { { "cache1.example.org", 11211, 0 }, { "cache2.example.org", 11211, 0 }, { "Cache3.example.org", 11211, 0 } },
  { { "localhost", 11211, 0 }, { "localhost", 11212, 0 }, { "localhost", 11213, 0 } },
  { { "a", 1, 333 }, { "b", 65535, 333 }, { "c", 11211, 334 } },
  { { "::1", 11211, 0 }, { "2001:db8::7", 11299, 2 }, { "/run/memcached.sock", 0, 3 } },
  { { "/run/a.sock", 0, 0 }, { "/run/b.sock", 0, 0 } },
  { { "n1", 11211, 0 }, { "n2", 11211, 0 }, { "n3", 11211, 0 }, { "n4", 11211, 0 }, { "n5", 11211, 0 },
    { "n6", 11211, 0 }, { "n7", 11211, 0 } },
  { { "n7", 11211, 1 }, { "n6", 11212, 2 }, { "n5", 11211, 3 }, { "n4", 11214, 5 }, { "n3", 11211, 7 },
    { "n2", 11216, 11 }, { "n1", 11211, 13 } },
  { { "same", 11211, 0 }, { "same", 11211, 0 }, { "same", 11211, 0 } },
  { { "heavy", 11211, 65535 }, { "light", 11211, 1 }, { "lighter", 11211, 1 } },
  { { "m01", 0, 10 }, { "m02", 0, 10 }, { "m03", 0, 10 }, { "m04", 0, 10 }, { "m05", 0, 10 }, { "m06", 0, 10 },
    { "m07", 0, 10 }, { "m08", 0, 10 }, { "m09", 0, 10 }, { "m10", 0, 10 }, { "m11", 0, 10 }, { "m12", 0, 10 },
    { "m13", 0, 10 }, { "m14", 0, 10 }, { "m15", 0, 10 }, { "m16", 0, 10 }, { "m17", 0, 10 }, { "m18", 0, 10 },
    { "m19", 0, 10 }, { "m20", 0, 10 }, { "m21", 0, 10 }, { "m22", 0, 10 }, { "m23", 0, 10 }, { "m24", 0, 10 },
    { "m25", 0, 10 }, { "m26", 0, 10 }, { "m27", 0, 10 }, { "m28", 0, 10 }, { "m29", 0, 10 } },
};

static const char *const words[] = {
  "modula", "consistent", "ketama", "consistent_weighted", "ketama_weighted",
};

static const char *const strings[] = {
  "--SERVER=aaa --SERVER=bbb:11212/?5",
  "--SERVER=aaa --SERVER=bbb:11212/?5 --DISTRIBUTION=consistent",
  "--DISTRIBUTION=consistent --SERVER=aaa --SERVER=bbb:11212/?5",
  "--DISTRIBUTION=consistent --SERVER=aaa/?1 --SERVER=bbb/?0",
  "--DISTRIBUTION=consistent --SERVER=aaa/?5 --SERVER=bbb --DISTRIBUTION=consistent",
  "--DISTRIBUTION=consistent --SERVER=aaa/?5 --DISTRIBUTION=modula --SERVER=bbb",
  "--HASH=md5 --DISTRIBUTION=consistent --SERVER=aaa --SERVER=bbb",
  "--DISTRIBUTION=consistent --SERVER=aaa --SERVER=bbb --HASH=md5",
  "--DISTRIBUTION=consistent --SERVER=aaa --HASH=fnv1a_32 --SERVER=bbb",
  "--DISTRIBUTION=consistent --SERVER=aaa --SERVER=bbb --HASH=jenkins --SORT-HOSTS",
  "--DISTRIBUTION=consistent --SERVER=aaa/?3 --SERVER=bbb/?4 --HASH=murmur",
  "--DISTRIBUTION=consistent,md5 --SERVER=aaa --SERVER=bbb",
  "--server=CCC --server=aaa --server=bbb --hash=CRC --distribution=CONSISTENT",
  "--SERVER=zzz --SERVER=aaa:300 --SERVER=aaa:20 --SERVER=mmm --SORT-HOSTS",
  "--SORT-HOSTS --SERVER=zzz --SERVER=aaa --SERVER=mmm --HASH=fnv1_64",
  "--SOCKET=\"/run/x.sock\"/?2 --SERVER=aaa --DISTRIBUTION=consistent",
  "--DISTRIBUTION=consistent --SOCKET=\"/run/x.sock\"/?2 --SERVER=aaa",
  "--SERVER=aaa --SERVER=bbb --NAMESPACE=foo --HASH-WITH-NAMESPACE",
  "--SERVER=aaa --SERVER=bbb --NAMESPACE=\"foo:\" --HASH-WITH-NAMESPACE --HASH=fnv1_32",
  "--SERVER=aaa --SERVER=bbb --NAMESPACE=\"foo:\"",
  "--SERVER=10.0.0.1 --SERVER=10.0.0.2:11212 --BINARY-PROTOCOL --CONNECT-TIMEOUT=100 --POLL-TIMEOUT=300",
  "--SERVER=aaa --SERVER=bbb --RETRY-TIMEOUT=3 --RCV-TIMEOUT=9 --SND-TIMEOUT=9 --POOL-MIN=1 --POOL-MAX=5",
  "--SERVER=aaa --SERVER=bbb --VERIFY-KEY --SUPPORT-CAS --NOREPLY --BUFFER-REQUESTS --TCP-NODELAY",
  "--SERVER=aaa --SERVER=bbb --REMOVE-FAILED-SERVERS=1 --NUMBER-OF-REPLICAS=0 --DISTRIBUTION=consistent",
  "--SERVER=aaa --SERVER=bbb --USER-DATA --TCP-KEEPALIVE --TCP-KEEPIDLE --FETCH-VERSION --IO-KEY-PREFETCH=1",
  "--SERVER=aaa:0 --SERVER=bbb/?99999",
  "--SERVER=aaa --HASH=md5 --HASH=crc",
  "--SERVER=aaa --NAMESPACE=foo --NAMESPACE=bar",
  "--SERVER=aaa --HASH=sha1",
  "--SERVER=aaa --DISTRIBUTION=nearest",
  "--SERVER=aaa --DISTRIBUTION=consistent,sha1",
  "--SERVER=aaa --KETAMA-WEIGHTED",
  "--SERVER=aaa --TCP-KEEPIDLE=5",
  "--SERVER=aaa --REMOVE-FAILED-SERVERS",
  "--SERVER=aaa --POLL-TIMEOUT=-1",
  "--SERVER=aaa,bbb",
  "--SERVERS=aaa",
  "--SERVER=aaa:port",
  "--SERVER=aaa/5",
  "--SERVER=::1",
  "--SERVER=[::1]:11211",
  "--SERVER=aaa --NAMESPACE",
  "--SERVER=aaa bbb",
};

/* Every length to 40, every byte that a C string can have, words of several scripts, the longest key. */
static void fill_keys(void) {
  static const char *const texts[] = {
    "", "a", "key", "user:1", "user:2", "session/9f8b1c22-0d5e-4b6a-9a3c-1f2e3d4c5b6a",
    "\xc3\xa9t\xc3\xa9", "\xe9\x8d\xb5", "\xd0\xba\xd0\xbb\xd1\x8e\xd1\x87", "\xf0\x9f\x94\x91",
    "\x80", "\xff", "\x7f\x80\x81", "ab\xff", "abc\x80", "with space", "GET", "0", "00", "-1",
  };
  uint32_t state = 20;
  for (size_t at = 0; at < KEYS; at++) {
    struct key *key = &keys[at];
    if (at < LENGTH(texts)) {
      key->length = strlen(texts[at]);
      memcpy(key->text, texts[at], key->length);
      continue;
    }
    if (at < 100) {
      key->length = (size_t) sprintf(key->text, "item-%zu", at * at * 7919);
      continue;
    }
    key->length = at < 140 ? at - 99 : at < 190 ? at % 23 + 1 : at == 190 ? 250 : 30 * (at - 190) % 249 + 1;
    for (size_t byte = 0; byte < key->length; byte++) {
      state = state * 1664525 + 1013904223;
      key->text[byte] = (char) (state >> 24 ? state >> 24 : 1);
    }
  }
}

static uint32_t digest(const struct key *key, memcached_hash_t hash) {
#ifdef HSIEH
  if (hash == MEMCACHED_HASH_HSIEH) return hashkit_hsieh(key->text, key->length, NULL);
#endif
  return memcached_generate_hash_value(key->text, key->length, hash);
}

static void must(memcached_return_t result, const char *what) {
  if (result != MEMCACHED_SUCCESS) {
    fprintf(stderr, "%s: %s\n", what, memcached_strerror(NULL, result));
    exit(1);
  }
}

static void set_hash(memcached_st *memc, memcached_hash_t hash) {
#ifdef HSIEH
  if (hash == MEMCACHED_HASH_HSIEH) {
    hashkit_st kit;
    hashkit_create(&kit);
    hashkit_set_custom_function(&kit, hashkit_hsieh, NULL);
    must(memcached_set_hashkit(memc, &kit), "hsieh");
    return;
  }
#endif
  must(memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_HASH, hash), "hash");
}

static void print_servers(memcached_st *memc) {
  for (size_t at = 0; at < KEYS; at++)
    putchar("0123456789abcdefghijklmnopqrstuvwxyz"[memcached_generate_hash(memc, keys[at].text, keys[at].length)]);
}

static void add(memcached_st *memc, const struct server *list) {
  for (const struct server *server = list; server->host; server++) {
    if (*server->host == '/')
      must(memcached_server_add_unix_socket_with_weight(memc, server->host, server->weight), "socket");
    else
      must(memcached_server_add_with_weight(memc, server->host, server->port, server->weight), "server");
  }
}

static void print_address(const struct server *list) {
  printf("memcached://");
  for (const struct server *server = list; server->host; server++) {
    if (server != list) putchar(',');
    const char *const form = strchr(server->host, ':') ? "[%s]" : "%s";
    if (*server->host == '/') {
      for (const char *byte = server->host; *byte; byte++)
        if (*byte == '/') printf("%%2F"); else putchar(*byte);
    } else
      printf(form, server->host);
    if (*server->host != '/' && server->port && server->port != 11211) printf(":%d", server->port);
    if (server->weight) printf("/%d", server->weight);
  }
}

/* The hash before the servers, or after them; the distribution before them only where that counts. */
static void print_case(const struct server *list, size_t hash, size_t word, const char *prefix, int hash_late) {
  memcached_st *memc = memcached_create(NULL);
  const uint64_t consistent = MEMCACHED_DISTRIBUTION_CONSISTENT;
  print_address(list);
  printf("?distribution=%s&hash=%s", words[word], hashes[hash].name);
  if (hash_late) printf("&point_hash=default");
  if (prefix) printf("&prefix=%s&hash_with_namespace=true", prefix);
  if (!hash_late) set_hash(memc, hashes[hash].hash);
  if (word == 1) must(memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_DISTRIBUTION, consistent), "consistent");
  add(memc, list);
  if (word == 2) must(memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_KETAMA, 1), "ketama");
  if (word == 3)
    must(memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_CONSISTENT_WEIGHTED),
         "consistent weighted");
  if (word == 4) must(memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1), "ketama weighted");
  if (hash_late) set_hash(memc, hashes[hash].hash);
  if (prefix) {
    must(memcached_callback_set(memc, MEMCACHED_CALLBACK_NAMESPACE, prefix), "namespace");
    must(memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_HASH_WITH_PREFIX_KEY, 1), "hash with namespace");
  }
  putchar(' ');
  print_servers(memc);
  putchar('\n');
  memcached_free(memc);
}

static void print_cases(void) {
  for (size_t list = 0; list < LENGTH(lists); list++)
    for (size_t word = 0; word < LENGTH(words); word++)
      for (size_t hash = 0; hash < LENGTH(hashes); hash++)
        /* libmemcached's ketama_weighted means MD5. */
        if (word != 4 || hashes[hash].hash == MEMCACHED_HASH_MD5) print_case(lists[list], hash, word, NULL, 0);
  for (size_t hash = 0; hash < LENGTH(hashes); hash++) {
    print_case(lists[4], hash, 0, "app:", 0);
    print_case(lists[4], hash, 1, "app:", 0);
    print_case(lists[10], hash, 1, "shop/", 0);
    print_case(lists[9], hash, 1, NULL, 1);
  }
}

int main(int count, char **arguments) {
  const char *what = count == 2 ? arguments[1] : "";
  fill_keys();
  if (!strcmp(what, "hashes")) {
    printf("#");
    for (size_t hash = 0; hash < LENGTH(hashes); hash++) printf(" %s", hashes[hash].name);
    putchar('\n');
    for (size_t at = 0; at < KEYS; at++) {
      for (size_t byte = 0; byte < keys[at].length; byte++) printf("%02x", (unsigned char) keys[at].text[byte]);
      for (size_t hash = 0; hash < LENGTH(hashes); hash++) printf(" %u", digest(&keys[at], hashes[hash].hash));
      putchar('\n');
    }
  } else if (!strcmp(what, "servers")) {
    print_cases();
  } else if (!strcmp(what, "strings")) {
    for (size_t at = 0; at < LENGTH(strings); at++) {
      memcached_st *memc = memcached(strings[at], strlen(strings[at]));
      if (memc) print_servers(memc);
      else putchar('-');
      printf(" %s\n", strings[at]);
      if (memc) memcached_free(memc);
    }
  } else {
    fprintf(stderr, "usage: make hashes|servers|strings   (libmemcached %s)\n", memcached_lib_version());
    return 2;
  }
  return 0;
}
