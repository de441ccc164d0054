/*
 * Speed from inside a guest: AES-128-CBC through AF_ALG, with the virtio-crypto driver named exactly.
 *
 * usage: guest-bench [name=value ...]
 *
 *   sizes=1024,4096,16384,65536  bytes of a request
 *   jobs=1,32       requests in flight: processes, each with a key of its own, that send one request
 *                   after the other (AF_ALG has lost its asynchronous requests during 6.1)
 *   milliseconds=1000  length of one measurement
 *   rounds=1        how often everything is measured
 *   software=1      the kernel's own generic driver, too: what the emulated processor can do
 *   hold=1          wait for a line on standard input before and after each measurement
 *
 * Each process compares its first and its last result with the software driver's. A latency is the
 * time of the two system calls that send a request and take its result.
 *
 *   guest: bench driver=virtio_crypto_aes_cbc op=encrypt size=4096 jobs=32 requests=… per-second=…
 *     p50-us=… p99-us=… verified=64   (one line)
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "guest-program.h"
/* AF_ALG, behind what every program has. */
#include "guest-alg.h"

enum { list_limit = 8, job_limit = 64, sample_limit = 1 << 15, largest_bytes = 1 << 20 };

struct list {
  unsigned long numbers[list_limit];
  size_t count;
};

static struct {
  struct list sizes, jobs;
  unsigned long milliseconds, rounds, software, hold;
} options = {{{1024, 4096, 16384, 65536}, 4}, {{1, 32}, 2}, 1000, 1, 0, 0};

/* What the processes share. */
struct job {
  uint64_t requests, verified, end;
  uint32_t sample_count;
  /* In nanoseconds. Of more requests than there is room for, the last ones. */
  uint32_t samples[sample_limit];
};
static struct {
  atomic_uint ready;
  struct job jobs[job_limit];
} *shared;

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void *map(size_t count, int flags) {
  void *bytes = mmap(NULL, count, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
  if (bytes == MAP_FAILED) fail("mmap of %zu bytes", count);
  return bytes;
}

static void request(struct transform t, bool encrypt, const uint8_t *iv, uint8_t *from, uint8_t *to,
                    size_t count) {
  struct iovec vector = {from, count};
  send_start(t.request, encrypt, iv, &vector, 1, 0);
  ssize_t received = read(t.request, to, count);
  if (received < 0 || (size_t)received != count) fail("a request gave %zd bytes", received);
}

/* One process: ready, and from the start on one request after the other until time is up. */
static void work(struct job *job, unsigned number, const char *driver, bool encrypt, size_t count,
                 int start) {
  uint8_t key[16] = {(uint8_t)number}, iv[block_bytes] = {0};
  uint8_t *from = map(count, MAP_PRIVATE | MAP_POPULATE);
  uint8_t *to = map(count, MAP_PRIVATE | MAP_POPULATE);
  uint8_t *expected = map(count, MAP_PRIVATE | MAP_POPULATE);
  struct transform t = open_transform(driver, key, sizeof key, largest_bytes);
  struct transform software = open_transform(SOFTWARE_DRIVER, key, sizeof key, largest_bytes);

  for (size_t i = 0; i < count; i++) from[i] = (uint8_t)(i * 73 + number);
  request(software, encrypt, iv, from, expected, count);
  request(t, encrypt, iv, from, to, count);
  if (memcmp(to, expected, count) == 0) job->verified += 1;
  atomic_fetch_add(&shared->ready, 1);
  /* Nothing is ever written there: it ends. Waiting costs the host nothing. */
  char nothing;
  if (read(start, &nothing, 1) != 0) fail("the start");

  uint64_t before = now(), end = before + options.milliseconds * 1000000;
  while (before < end) {
    request(t, encrypt, iv, from, to, count);
    uint64_t after = now();
    job->samples[job->requests % sample_limit] = (uint32_t)(after - before);
    job->requests += 1;
    before = after;
  }
  job->end = before;
  job->sample_count = (uint32_t)(job->requests < sample_limit ? job->requests : sample_limit);
  /* What an earlier request left must not pass for an answer. */
  memset(to, 0xa5, count);
  request(t, encrypt, iv, from, to, count);
  if (memcmp(to, expected, count) == 0) job->verified += 1;
}

static int ascending(const void *first, const void *second) {
  uint32_t a = *(const uint32_t *)first, b = *(const uint32_t *)second;
  return (a > b) - (a < b);
}

static void bench(const char *driver, bool encrypt, size_t count, unsigned jobs) {
  memset(shared, 0, sizeof *shared);
  int start_line[2];
  if (pipe(start_line)) fail("pipe");
  for (unsigned number = 0; number < jobs; number++) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child > 0) continue;
    close(start_line[1]);
    work(&shared->jobs[number], number, driver, encrypt, count, start_line[0]);
    _exit(0);
  }
  close(start_line[0]);
  while (atomic_load(&shared->ready) < jobs) {
    /* One that has failed has said why. */
    if (waitpid(-1, NULL, WNOHANG) > 0) fail("a process of the benchmark ended early");
    sched_yield();
  }
  if (options.hold) hold("begin");
  uint64_t start = now();
  close(start_line[1]);
  uint64_t requests = 0, verified = 0, end = start;
  size_t sample_count = 0;
  for (unsigned number = 0; number < jobs; number++) {
    int status;
    if (wait(&status) < 0 || status != 0) fail("a process of the benchmark");
  }
  if (options.hold) hold("end");
  uint32_t *samples = map(jobs * sizeof shared->jobs[0].samples, MAP_PRIVATE);
  for (unsigned number = 0; number < jobs; number++) {
    struct job *job = &shared->jobs[number];
    requests += job->requests;
    verified += job->verified;
    if (job->end > end) end = job->end;
    memcpy(samples + sample_count, job->samples, job->sample_count * sizeof *samples);
    sample_count += job->sample_count;
  }
  errno = 0;
  if (verified != 2 * jobs)
    fail("%s: %lu of %u results are right", driver, (unsigned long)verified, 2 * jobs);
  qsort(samples, sample_count, sizeof *samples, ascending);
  printf("guest: bench driver=%s op=%s size=%zu jobs=%u requests=%llu per-second=%.1f p50-us=%.1f "
         "p99-us=%.1f verified=%llu\n",
         driver, encrypt ? "encrypt" : "decrypt", count, jobs, (unsigned long long)requests,
         (double)requests * 1e9 / (double)(end - start), samples[sample_count / 2] / 1e3,
         samples[sample_count - 1 - sample_count / 100] / 1e3, (unsigned long long)verified);
  munmap(samples, jobs * sizeof shared->jobs[0].samples);
}

static struct list read_list(const char *text, unsigned long most) {
  struct list list = {.count = 0};
  while (*text) {
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    errno = EINVAL;
    if (end == text || (*end && *end != ',') || number < 1 || number > most
        || list.count == list_limit)
      fail("%s is no list of numbers up to %lu", text, most);
    list.numbers[list.count++] = number;
    text = *end ? end + 1 : end;
  }
  return list;
}

int main(int argument_count, char **arguments) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 1; i < argument_count; i++) {
    char *value = strchr(arguments[i], '=');
    errno = EINVAL;
    if (!value) fail("option %s", arguments[i]);
    *value++ = 0;
    const char *name = arguments[i];
    if (strcmp(name, "sizes") == 0) options.sizes = read_list(value, largest_bytes);
    else if (strcmp(name, "jobs") == 0) options.jobs = read_list(value, job_limit);
    else if (strcmp(name, "milliseconds") == 0)
      options.milliseconds = read_list(value, 3600000).numbers[0];
    else if (strcmp(name, "rounds") == 0) options.rounds = read_list(value, 1000).numbers[0];
    else if (strcmp(name, "software") == 0) options.software = strtoul(value, NULL, 0);
    else if (strcmp(name, "hold") == 0) options.hold = strtoul(value, NULL, 0);
    else fail("option %s", name);
  }
  shared = map(sizeof *shared, MAP_SHARED);
  for (unsigned long round = 0; round < options.rounds; round++)
    for (size_t j = 0; j < options.jobs.count; j++)
      for (size_t s = 0; s < options.sizes.count; s++)
        for (int encrypt = 1; encrypt >= 0; encrypt--) {
          size_t count = options.sizes.numbers[s] / block_bytes * block_bytes;
          unsigned jobs = (unsigned)options.jobs.numbers[j];
          bench(DEVICE_DRIVER, encrypt, count, jobs);
          if (options.software) bench(SOFTWARE_DRIVER, encrypt, count, jobs);
        }
  printf("guest: PASS bench\n");
  return 0;
}
