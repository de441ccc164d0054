/*
 * Traffic from inside a guest whose back-end is killed and restarted meanwhile: encrypts and decrypts through the
 * virtio-crypto driver, compares with the kernel's software driver, and counts what came of it.
 *
 * usage: guest-restarts [jobs=8] [max=131072] [hold=1]
 *
 *   jobs   processes that have a key each, made once, and a request each at a time; one more makes a key for every
 *          request
 *   max    largest request in bytes, a multiple of 16
 *
 * It works until the host answers `guest: hold kills`. Then it gives up its keys, and says:
 *
 *   guest: restarts operations=52432 keys=312 wrong=0 failed=0 lost=0 longest-ms=231
 *
 * wrong: other bytes than expected; failed: an error; lost: no answer within a minute.
 */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>

#include "guest-program.h"
/* AF_ALG, behind what every program has. */
#include "guest-alg.h"

enum { job_limit = 64, sample_count = 6, patience_seconds = 60 };

struct outcome {
  uint64_t operations, keys, wrong, failed, longest_nanoseconds;
};

/* Shared by all processes. */
static struct {
  atomic_bool stop;
  struct outcome outcomes[job_limit];
} *shared;

static unsigned long jobs = 8, max_bytes = 131072;

struct sample {
  size_t count;
  uint8_t iv[block_bytes];
  uint8_t *plain, *cipher, *got;
};

static uint64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void fill_random(void *bytes, size_t count) {
  for (size_t done = 0; done < count;) {
    ssize_t some = getrandom((uint8_t *)bytes + done, count - done, 0);
    if (some <= 0) fail("getrandom");
    done += (size_t)some;
  }
}

/* One request; whether the driver took it. */
static bool crypt_bytes(struct transform t, bool encrypt, const struct sample *sample,
                        uint8_t *input, uint8_t *output) {
  struct iovec from = {input, sample->count}, to = {output, sample->count};
  struct msghdr message = {.msg_iov = &to, .msg_iovlen = 1};
  send_start(t.request, encrypt, sample->iv, &from, 1, 0);
  return recvmsg(t.request, &message, 0) == (ssize_t)sample->count;
}

/* The same of the device, counted, timed and compared. */
static void try_device(struct transform t, bool encrypt, struct sample *sample,
                       struct outcome *outcome) {
  uint8_t *input = encrypt ? sample->plain : sample->cipher;
  const uint8_t *expected = encrypt ? sample->cipher : sample->plain;
  /* What an earlier request left must not pass for an answer. */
  memset(sample->got, 0xa5, sample->count);
  uint64_t start = nanoseconds();
  bool taken = crypt_bytes(t, encrypt, sample, input, sample->got);
  uint64_t took = nanoseconds() - start;
  if (took > outcome->longest_nanoseconds) outcome->longest_nanoseconds = took;
  outcome->operations++;
  if (!taken) {
    outcome->failed++;
    printf("guest: %s of %zu bytes failed (errno %d)\n", encrypt ? "encryption" : "decryption",
           sample->count, errno);
    _exit(1);
  }
  if (memcmp(sample->got, expected, sample->count)) outcome->wrong++;
}

static void make_sample(struct sample *sample, size_t count) {
  sample->count = count;
  sample->plain = malloc(count);
  sample->cipher = malloc(count);
  sample->got = malloc(count);
  if (!sample->plain || !sample->cipher || !sample->got) fail("malloc");
  fill_random(sample->iv, sizeof sample->iv);
  fill_random(sample->plain, count);
}

/* Requests of one key after the other, whose right answers the software has given before. */
static void work_with_one_key(struct outcome *outcome) {
  static const size_t sizes[sample_count] = {16, 1024, 4096, 16384, 65536, 131072};
  struct sample samples[sample_count];
  uint8_t key[32];
  fill_random(key, sizeof key);
  struct transform device = open_transform(DEVICE_DRIVER, key, sizeof key, max_bytes);
  struct transform software = open_transform(SOFTWARE_DRIVER, key, sizeof key, max_bytes);
  outcome->keys++;
  for (size_t i = 0; i < sample_count; i++) {
    make_sample(&samples[i], sizes[i] < max_bytes ? sizes[i] : max_bytes);
    if (!crypt_bytes(software, true, &samples[i], samples[i].plain, samples[i].cipher))
      fail("software");
  }
  for (size_t i = 0; !shared->stop; i = (i + 1) % sample_count) {
    try_device(device, true, &samples[i], outcome);
    try_device(device, false, &samples[i], outcome);
  }
}

/* A new key for every request: sessions come and go on the control queue. */
static void work_with_many_keys(struct outcome *outcome) {
  struct sample sample;
  make_sample(&sample, 256);
  while (!shared->stop) {
    uint8_t key[16];
    fill_random(key, sizeof key);
    struct transform software = open_transform(SOFTWARE_DRIVER, key, sizeof key, sample.count);
    if (!crypt_bytes(software, true, &sample, sample.plain, sample.cipher)) fail("software");
    close_transform(software);
    struct transform device = open_transform(DEVICE_DRIVER, key, sizeof key, sample.count);
    outcome->keys++;
    try_device(device, true, &sample, outcome);
    close_transform(device);
  }
}

static void read_options(int count, char **words) {
  for (int i = 1; i < count; i++) {
    unsigned long hold;
    if (sscanf(words[i], "jobs=%lu", &jobs) != 1 && sscanf(words[i], "max=%lu", &max_bytes) != 1 &&
        sscanf(words[i], "hold=%lu", &hold) != 1)
      fail("option %s", words[i]);
  }
  errno = EINVAL;
  if (jobs < 1 || jobs >= job_limit) fail("jobs=%lu is not 1 to %d", jobs, job_limit - 1);
  if (max_bytes < block_bytes || max_bytes % block_bytes) fail("max=%lu", max_bytes);
}

/* Waits for all processes; how many do not end. */
static unsigned long wait_for_jobs(unsigned long count, bool *failed) {
  uint64_t end = nanoseconds() + patience_seconds * 1000000000ULL;
  while (count > 0 && nanoseconds() < end) {
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid > 0) {
      count--;
      if (!WIFEXITED(status) || WEXITSTATUS(status)) *failed = true;
    } else {
      usleep(10000);
    }
  }
  return count;
}

int main(int argument_count, char **arguments) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  read_options(argument_count, arguments);
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) fail("mmap");
  for (unsigned long job = 0; job <= jobs; job++) {
    pid_t pid = fork();
    if (pid < 0) fail("fork");
    if (pid == 0) {
      if (job == jobs) {
        work_with_many_keys(&shared->outcomes[job]);
      } else {
        work_with_one_key(&shared->outcomes[job]);
      }
      fflush(stdout);
      _exit(0);
    }
  }
  hold("kills");
  shared->stop = true;
  bool failed = false;
  unsigned long lost = wait_for_jobs(jobs + 1, &failed);
  struct outcome all = {0};
  for (unsigned long job = 0; job <= jobs; job++) {
    struct outcome *one = &shared->outcomes[job];
    all.operations += one->operations;
    all.keys += one->keys;
    all.wrong += one->wrong;
    all.failed += one->failed;
    if (one->longest_nanoseconds > all.longest_nanoseconds)
      all.longest_nanoseconds = one->longest_nanoseconds;
  }
  printf("guest: restarts operations=%llu keys=%llu wrong=%llu failed=%llu lost=%lu longest-ms=%llu\n",
         (unsigned long long)all.operations, (unsigned long long)all.keys,
         (unsigned long long)all.wrong, (unsigned long long)all.failed, lost,
         (unsigned long long)(all.longest_nanoseconds / 1000000));
  /* All keys are gone now, and no session is to be left. */
  hold("after");
  errno = 0;
  if (all.wrong || all.failed || lost || failed) fail("not all is as it has to be");
  printf("guest: PASS %llu operations\n", (unsigned long long)all.operations);
  return 0;
}
