/*
 * A vhost-user crypto back-end on DPDK, to measure ours against: the public API of rte_vhost_crypto
 * over one of DPDK's software crypto drivers, as its example `vhost_crypto` puts them together.
 *
 * usage: dpdk-backend --socket-path=PATH [options]
 *
 *   --driver=aesni-mb|openssl  who computes (aesni-mb)
 *   --zero-copy                requests are worked on in guest memory; otherwise copied in and out
 *   --core=N                   the processor that polls (0)
 *   --calls                    signal the front-end; without, it has to poll, which suits DPDK best
 *
 * One core serves queue 0 of one front-end at a time, polling it without a pause. While nobody is
 * connected it sleeps, so that another back-end can be measured on the same core in the meantime.
 * "ready" on standard output means that the socket listens; SIGTERM and SIGINT end it.
 *
 * What a front-end has to know of rte_vhost_crypto in DPDK 22.11, by its source:
 *   - Sessions come by message only, in the layout with the operation code first.
 *   - Every request is one indirect table of at most 32 descriptors, the status in one of its own.
 *   - Ciphers take at most 2176 bytes, chains 4096 together with the digest.
 *   - The used entry of chain N is written to place N of the used ring: the ring's entry I has to
 *     be chain I, and the driver has to wait for requests in order.
 *   - A request that it cannot parse is not answered, and tried again forever.
 *   - HASH_THEN_CIPHER verifies the digest that it finds in the result buffer.
 *   - Zero-copy finds pages only where guest memory was registered for asynchronous copies.
 */
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cryptodev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_pause.h>
#include <rte_vhost.h>
#include <rte_vhost_crypto.h>

enum {
  burst = VHOST_CRYPTO_MAX_BURST_SIZE,
  crypto_descriptors = 4096,
  operation_count = 8192,
  /* Sessions that a front-end leaves open when it disconnects stay taken: the API frees its table of
   * them only. */
  session_count = 16384,
};

static struct {
  const char *socket_path;
  const char *driver;
  bool zero_copy, calls;
  unsigned long core;
} options = {.driver = "aesni-mb"};

static const uint8_t crypto_device;
static struct rte_mempool *session_pool, *operation_pool;

/* The device that is to be polled, -1 for none; and whether its rings are being looked at. */
static atomic_int served = -1;
static atomic_bool is_polling;
static atomic_bool is_stopping;
/* Wakes the polling core when one of the above has changed. */
static int wake_event = -1;

static void wake(void) {
  uint64_t one = 1;
  if (write(wake_event, &one, sizeof one) < 0) return; /* The counter is full: it is awake. */
}

static void stop(int signal_number) {
  (void)signal_number;
  atomic_store(&is_stopping, true);
  wake();
}

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("dpdk-backend: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

/* MARK: Front-ends, on DPDK's own thread */

/* Before the first message, so that sessions may come before rings. */
static int new_connection(int vid) {
  if (rte_vhost_crypto_create(vid, crypto_device, session_pool, (int)rte_socket_id()) != 0) return -1;
  return rte_vhost_crypto_set_zero_copy(
      vid, options.zero_copy ? RTE_VHOST_CRYPTO_ZERO_COPY_ENABLE : RTE_VHOST_CRYPTO_ZERO_COPY_DISABLE);
}

static void destroy_connection(int vid) { rte_vhost_crypto_free(vid); }

static int new_device(int vid) {
  int none = -1;
  rte_vhost_enable_guest_notification(vid, 0, 0);
  if (!atomic_compare_exchange_strong(&served, &none, vid)) {
    fprintf(stderr, "dpdk-backend: a second front-end at the same time is not served\n");
    return -1;
  }
  wake();
  return 0;
}

/* Rings and memory may go as soon as this returns. */
static void destroy_device(int vid) {
  int expected = vid;
  if (!atomic_compare_exchange_strong(&served, &expected, -1)) return;
  while (atomic_load(&is_polling)) rte_pause();
}

static const struct rte_vhost_device_ops device_operations = {
    .new_connection = new_connection,
    .destroy_connection = destroy_connection,
    .new_device = new_device,
    .destroy_device = destroy_device,
};

/* MARK: The polling core */

static void allocate(struct rte_crypto_op **operations, uint16_t count) {
  if (count == 0) return;
  if (rte_crypto_op_bulk_alloc(
          operation_pool, RTE_CRYPTO_OP_TYPE_SYMMETRIC, operations, count) != count)
    fail("no crypto operations are left");
}

/* Takes what the driver has finished back to the ring; how many. */
static uint16_t finish(int vid, uint32_t in_flight) {
  struct rte_crypto_op *done[burst];
  int call_events[VIRTIO_CRYPTO_MAX_NUM_BURST_VQS];
  uint16_t call_count = 0, count;

  count = rte_cryptodev_dequeue_burst(crypto_device, 0, done, (uint16_t)RTE_MIN(in_flight, (uint32_t)burst));
  if (count == 0) return 0;
  if (rte_vhost_crypto_finalize_requests(done, count, call_events, &call_count) != count)
    fail("finished requests could not be given back");
  /* Through the library, which looks at what the driver wants. */
  if (options.calls && call_count > 0) rte_vhost_vring_call(vid, 0);
  rte_mempool_put_bulk(operation_pool, (void **)done, count);
  return count;
}

/* Polls until the device is gone and nothing of it is in flight. */
static void poll_device(int vid) {
  struct rte_crypto_op *fetched[burst];
  uint32_t in_flight = 0;

  allocate(fetched, burst);
  while (true) {
    bool goes_on = atomic_load_explicit(&served, memory_order_relaxed) == vid
        && !atomic_load_explicit(&is_stopping, memory_order_relaxed);
    if (!goes_on && in_flight == 0) break;
    if (goes_on && in_flight + burst <= crypto_descriptors) {
      uint16_t count = rte_vhost_crypto_fetch_requests(vid, 0, fetched, burst);
      uint16_t taken = rte_cryptodev_enqueue_burst(crypto_device, 0, fetched, count);
      /* There was room for a burst, and there is nothing to do with what the driver refuses. */
      if (taken != count) fail("the crypto driver took %u of %u operations", taken, count);
      in_flight += taken;
      allocate(fetched, taken);
    }
    in_flight -= finish(vid, in_flight);
  }
  rte_mempool_put_bulk(operation_pool, (void **)fetched, burst);
}

static void poll_devices(void) {
  while (!atomic_load(&is_stopping)) {
    int vid = atomic_load(&served);
    if (vid < 0) {
      uint64_t count;
      if (read(wake_event, &count, sizeof count) < 0) continue; /* A signal. */
      continue;
    }
    /* destroy_device empties `served`, then looks at `is_polling`; this does the reverse. */
    atomic_store(&is_polling, true);
    if (atomic_load(&served) == vid) poll_device(vid);
    atomic_store(&is_polling, false);
  }
}

/* MARK: Start */

static void parse(int count, char **words) {
  static const struct option known[] = {
      {"socket-path", required_argument, NULL, 's'}, {"driver", required_argument, NULL, 'd'},
      {"zero-copy", no_argument, NULL, 'z'},         {"core", required_argument, NULL, 'c'},
      {"calls", no_argument, NULL, 'n'},             {0},
  };
  int letter;
  char *end = NULL;

  while ((letter = getopt_long(count, words, "", known, NULL)) != -1) {
    switch (letter) {
      case 's': options.socket_path = optarg; break;
      case 'd': options.driver = optarg; break;
      case 'z': options.zero_copy = true; break;
      case 'n': options.calls = true; break;
      case 'c':
        options.core = strtoul(optarg, &end, 10);
        if (end == optarg || *end != '\0' || options.core >= RTE_MAX_LCORE)
          fail("--core=%s is no processor", optarg);
        break;
      default: fail("usage: dpdk-backend --socket-path=PATH [--driver=aesni-mb|openssl] "
                    "[--zero-copy] [--core=N] [--calls]");
    }
  }
  if (optind < count) fail("%s is not an option", words[optind]);
  if (options.socket_path == NULL) fail("--socket-path is missing");
  if (strcmp(options.driver, "aesni-mb") != 0 && strcmp(options.driver, "openssl") != 0)
    fail("--driver is aesni-mb or openssl, not %s", options.driver);
}

/* Ordinary memory (which excludes --in-memory, another word for the same on huge pages), nothing
 * shared with other DPDK processes, no hardware; this thread is the core. */
static void start_environment(char *program) {
  char lcores[32];
  char *words[] = {program, "--no-huge", "-m", "256", "--no-shconf", "--no-pci", "--no-telemetry",
                   "--log-level=*:error", "--lcores", lcores, "--vdev",
                   strcmp(options.driver, "openssl") == 0 ? "crypto_openssl" : "crypto_aesni_mb", NULL};

  snprintf(lcores, sizeof lcores, "0@%lu", options.core);
  if (rte_eal_init((int)RTE_DIM(words) - 1, words) < 0)
    fail("DPDK does not start: %s", rte_strerror(rte_errno));
  if (rte_cryptodev_count() != 1)
    fail("the driver %s is not there: apt-get install librte-meta-crypto", options.driver);
}

static void start_crypto(void) {
  int node = (int)rte_socket_id();
  struct rte_cryptodev_config device = {.nb_queue_pairs = 1, .socket_id = node};
  struct rte_cryptodev_qp_conf queue = {.nb_descriptors = crypto_descriptors};

  session_pool = rte_cryptodev_sym_session_pool_create(
      "sessions", session_count, rte_cryptodev_sym_get_private_session_size(crypto_device), 0, 0, node);
  operation_pool = rte_crypto_op_pool_create("operations", RTE_CRYPTO_OP_TYPE_SYMMETRIC,
      operation_count, 128, VHOST_CRYPTO_MAX_IV_LEN, node);
  if (session_pool == NULL || operation_pool == NULL) fail("no memory: %s", rte_strerror(rte_errno));
  queue.mp_session = session_pool;
  if (rte_cryptodev_configure(crypto_device, &device) != 0
      || rte_cryptodev_queue_pair_setup(crypto_device, 0, &queue, node) != 0
      || rte_cryptodev_start(crypto_device) != 0)
    fail("the crypto driver does not start");
}

static void start_listening(void) {
  /* Without this flag the library keeps no table of guest pages, which zero-copy looks into. */
  uint64_t flags = options.zero_copy ? RTE_VHOST_USER_ASYNC_COPY : 0;

  unlink(options.socket_path); /* What a killed run has left. */
  if (rte_vhost_driver_register(options.socket_path, flags) != 0
      || rte_vhost_driver_callback_register(options.socket_path, &device_operations) != 0
      || rte_vhost_crypto_driver_start(options.socket_path) != 0)
    fail("cannot listen on %s", options.socket_path);
}

int main(int count, char **words) {
  struct sigaction action = {.sa_handler = stop};

  parse(count, words);
  wake_event = eventfd(0, EFD_CLOEXEC);
  if (wake_event < 0) fail("no eventfd");
  /* Before DPDK's threads, which run with their signals blocked. */
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  start_environment(words[0]);
  start_crypto();
  start_listening();
  puts("ready");
  fflush(stdout);
  poll_devices();
  rte_vhost_driver_unregister(options.socket_path);
  rte_cryptodev_stop(crypto_device);
  rte_eal_cleanup();
  return 0;
}
