// The recycler: libcrypto 3.0 allocates a block or two of a few hundred bytes for every digest and HMAC. Each thread
// keeps such blocks when they are freed and hands them out again, so that requests in steady state never reach the
// C library's allocator and its locks.
//
// A block is a header of 16 bytes and room for one of five sizes, or for exactly what was asked for when that is more.
// Freed blocks go to the list of the thread that frees them, wiped; a full list gives them back to the C library, as
// does the end of the thread.
#include "COpenSSL.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
  CLASS_COUNT = 5,              // 64, 128, 256, 512, 1024 bytes
  SMALLEST_SHIFT = 6,
  LARGEST_COUNT = 64 << (CLASS_COUNT - 1),
  OWN_SIZE = CLASS_COUNT,       // the class of blocks that are not recycled
  LIST_LIMIT = 32,              // bounds what an idle thread holds: 32 blocks of each class, 62 KiB
};

typedef struct header {
  union {
    struct header *next;        // while on a list
    size_t count;               // room in bytes, while handed out
  };
  uint64_t class;
} header;
_Static_assert(sizeof(header) == 16, "blocks keep malloc's alignment");

enum { UNREGISTERED, LIVE, ENDED };

static __thread struct {
  header *lists[CLASS_COUNT];
  uint32_t counts[CLASS_COUNT];
  uint32_t state;
  uint64_t mallocs;
} recycler;

static pthread_key_t end_key;

static void empty_lists(void *unused) {
  (void)unused;
  // Other destructors of this thread may free libcrypto memory after us: from now on nothing is kept.
  recycler.state = ENDED;
  for (int class = 0; class < CLASS_COUNT; class++) {
    while (recycler.lists[class] != NULL) {
      header *block = recycler.lists[class];
      recycler.lists[class] = block->next;
      free(block);
    }
    recycler.counts[class] = 0;
  }
}

static inline uint64_t class_of(size_t count) {
  if (count > LARGEST_COUNT) return OWN_SIZE;
  if (count <= (1 << SMALLEST_SHIFT)) return 0;
  return (uint64_t)(64 - SMALLEST_SHIFT - __builtin_clzll(count - 1));
}

static void *recycler_malloc(size_t count, const char *file, int line) {
  (void)file;
  (void)line;
  if (count == 0) return NULL;
  uint64_t class = class_of(count);
  if (class < CLASS_COUNT) {
    header *block = recycler.lists[class];
    if (__builtin_expect(block != NULL, 1)) {
      recycler.lists[class] = block->next;
      recycler.counts[class]--;
      block->count = (size_t)1 << (SMALLEST_SHIFT + class);
      return block + 1;
    }
  }
  size_t room = class < CLASS_COUNT ? (size_t)1 << (SMALLEST_SHIFT + class) : count;
  header *block = room <= SIZE_MAX - sizeof(header) ? malloc(sizeof(header) + room) : NULL;
  recycler.mallocs++;
  if (block == NULL) return NULL;
  block->count = room;
  block->class = class;
  return block + 1;
}

static void recycler_free(void *memory, const char *file, int line) {
  (void)file;
  (void)line;
  if (memory == NULL) return;
  header *block = (header *)memory - 1;
  uint64_t class = block->class;
  if (class >= CLASS_COUNT) {
    free(block);
    return;
  }
  // libcrypto wipes what it knows to be secret; wiping the rest too costs a few stores.
  copenssl_wipe(memory, block->count);
  if (__builtin_expect(recycler.state != LIVE, 0)) {
    if (recycler.state == ENDED || pthread_setspecific(end_key, &recycler) != 0) {
      free(block);
      return;
    }
    recycler.state = LIVE;
  }
  if (recycler.counts[class] >= LIST_LIMIT) {
    free(block);
    return;
  }
  block->next = recycler.lists[class];
  recycler.lists[class] = block;
  recycler.counts[class]++;
}

static void *recycler_realloc(void *memory, size_t count, const char *file, int line) {
  if (memory == NULL) return recycler_malloc(count, file, line);
  if (count == 0) {
    recycler_free(memory, file, line);
    return NULL;
  }
  size_t room = ((header *)memory - 1)->count;
  if (count <= room) return memory;
  void *larger = recycler_malloc(count, file, line);
  if (larger == NULL) return NULL;
  memcpy(larger, memory, room);
  recycler_free(memory, file, line);
  return larger;
}

static bool is_installed;

static void install(void) {
  is_installed = pthread_key_create(&end_key, empty_lists) == 0
      && CRYPTO_set_mem_functions(recycler_malloc, recycler_realloc, recycler_free) == 1;
}

bool copenssl_install_recycler(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, install);
  return is_installed;
}

// Before main: whoever in the process uses libcrypto first must not decide.
//
// libcrypto is not to clean up when the process ends either: main returns while other threads still free what they
// have of libcrypto's, and what it keeps for each thread would be taken away under them (a crash in
// OPENSSL_thread_stop). Keys are wiped by those who have them.
__attribute__((constructor)) static void install_at_load(void) {
  copenssl_install_recycler();
  OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

uint64_t copenssl_malloc_count(void) { return recycler.mallocs; }

void *copenssl_map(size_t count) {
  void *memory = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return NULL;
  madvise(memory, count, MADV_DONTDUMP);
  return memory;
}

void copenssl_unmap(void *memory, size_t count) { munmap(memory, count); }

void copenssl_give_back(void *memory, size_t count) {
  // Pages that stay are no harm: they were wiped.
  (void)madvise(memory, count, MADV_DONTNEED);
}
