/*
 * Test traffic from inside a guest: AES-CBC through AF_ALG, with the virtio-crypto driver named
 * exactly, compared byte for byte with the kernel's software driver, also named exactly.
 *
 * usage: guest-crypto [name=value ...]
 *
 *   mode=selftest   each key size, size and shape below, `iterations` times (the default)
 *   mode=hold       the same, waiting for a line on standard input before each iteration
 *   hold=1          wait for a line on standard input before and after the traffic
 *   iterations=1    rounds of selftest and hold
 *   max=65536       largest request in bytes, a multiple of 16. The driver sends n segments as
 *                   n(n+1)/2 descriptors: QEMU's own back-end dies above 1024 of them (128 KiB),
 *                   655360 stays below 32768, and 1 MiB has more than a table can link
 *   seed=1          of keys, IVs, data and of the places where buffers are cut
 *
 * One call of crypt() is exactly one request to the driver, so that the host can compare the
 * printed numbers with its daemon's counters. What is printed (a wait prints `guest: hold NAME`):
 *
 *   guest: size 4096 requests=18 bytes=73728 ok
 *   guest: reference cipher=aes-128-cbc key=… iv=… bytes=65536 sha256=…
 *   guest: device encrypt requests=39 bytes=970896
 *   guest: device decrypt requests=36 bytes=774288
 *   guest: PASS 75 requests, 1745184 bytes
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "guest-program.h"
/* AF_ALG, behind what every program has. */
#include "guest-alg.h"

enum {
  page_bytes = 4096,
  piece_limit = 8, /* 64 KiB in 8 unaligned pieces stay below 1024 descriptors */
};

/* How a request's data reaches the kernel, and with that how long its scatter lists become. */
enum shape {
  flat,    /* one aligned buffer on either side */
  pieces,  /* iovecs cut anywhere, two sendmsg with MSG_MORE; the result cut anywhere too */
  spliced, /* pages given away by vmsplice and splice, cut anywhere, with SPLICE_F_MORE */
  shape_count
};
static const char *const shape_names[shape_count] = {"flat", "pieces", "spliced"};

struct counter {
  uint64_t requests, bytes;
};

static struct {
  const char *mode;
  unsigned long hold, iterations, max, seed;
} options = {"selftest", 0, 1, 65536, 1};

/* Requests to the device's driver alone: [0] decrypt, [1] encrypt. */
static struct counter device_total[2];

/* xorshift64*: the same data for the same seed, on every machine. */
static uint64_t random_state;

static uint64_t next_random(void) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return random_state * 0x2545f4914f6cdd1dULL;
}

static void fill_random(uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)(next_random() >> 56);
}

/* ---- Requests ------------------------------------------------------------------------------- */

/* Cuts a buffer at random places, down to single bytes; returns how many pieces there are. */
static size_t cut(uint8_t *bytes, size_t count, struct iovec *vectors) {
  size_t used = 0;
  while (count > 0) {
    size_t length = count;
    if (used + 1 < piece_limit) length = 1 + next_random() % (count / 2 + 1);
    vectors[used++] = (struct iovec){bytes, length};
    bytes += length;
    count -= length;
  }
  return used;
}

static void send_spliced(int fd, struct iovec *vectors, size_t vector_count) {
  int pipe_ends[2];
  if (pipe(pipe_ends)) fail("pipe");
  for (size_t i = 0; i < vector_count; i++) {
    struct iovec rest = vectors[i];
    while (rest.iov_len > 0) {
      /* The pipe holds 16 pages; what it took goes on to the socket at once. */
      ssize_t taken = vmsplice(pipe_ends[1], &rest, 1, SPLICE_F_NONBLOCK);
      if (taken <= 0) fail("vmsplice");
      rest.iov_base = (uint8_t *)rest.iov_base + taken;
      rest.iov_len -= (size_t)taken;
      bool last = rest.iov_len == 0 && i + 1 == vector_count;
      for (ssize_t left = taken; left > 0;) {
        ssize_t moved =
            splice(pipe_ends[0], NULL, fd, NULL, (size_t)left, last ? 0 : SPLICE_F_MORE);
        if (moved <= 0) fail("splice");
        left -= moved;
      }
    }
  }
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

/* One request to the driver, from `input` to `output`, `count` bytes each. */
static void crypt_bytes(struct transform t, bool encrypt, const uint8_t *iv, enum shape shape,
                        uint8_t *input, uint8_t *output, size_t count) {
  struct iovec from[piece_limit] = {{input, count}}, to[piece_limit] = {{output, count}};
  size_t from_count = 1, to_count = 1;
  if (shape != flat) {
    from_count = cut(input, count, from);
    to_count = cut(output, count, to);
  }
  if (shape == spliced) {
    send_start(t.request, encrypt, iv, NULL, 0, MSG_MORE);
    send_spliced(t.request, from, from_count);
  } else {
    size_t first = from_count > 1 ? from_count / 2 : 1;
    struct msghdr rest = {.msg_iov = from + first, .msg_iovlen = from_count - first};
    send_start(t.request, encrypt, iv, from, first, rest.msg_iovlen ? MSG_MORE : 0);
    if (rest.msg_iovlen && sendmsg(t.request, &rest, 0) < 0) fail("sendmsg of the rest");
  }
  struct msghdr message = {.msg_iov = to, .msg_iovlen = to_count};
  ssize_t received = recvmsg(t.request, &message, 0);
  if (received < 0 || (size_t)received != count)
    fail("%s of %zu bytes, %s: recvmsg gave %zd", encrypt ? "encrypt" : "decrypt", count,
         shape_names[shape], received);
  if (t.is_device) {
    device_total[encrypt].requests += 1;
    device_total[encrypt].bytes += count;
  }
}

static void sha256(const uint8_t *bytes, size_t count, uint8_t digest[32]) {
  int bound = alg_socket("hash", "sha256-generic"), fd = accept(bound, NULL, 0);
  if (fd < 0 || write(fd, bytes, count) != (ssize_t)count || read(fd, digest, 32) != 32)
    fail("sha256-generic");
  close(fd);
  close(bound);
}

/* ---- Traffic -------------------------------------------------------------------------------- */

static size_t sizes[16], size_count;

/* 16 B, 4 KiB, 16 KiB, 64 KiB, then doubling, up to and with the largest asked for. */
static void choose_sizes(void) {
  size_t next = block_bytes;
  while (next < options.max && size_count + 1 < sizeof sizes / sizeof *sizes) {
    sizes[size_count++] = next;
    next = next == block_bytes ? 4096 : next < 65536 ? next * 4 : next * 2;
  }
  sizes[size_count++] = options.max;
}

/* Buffers for the largest request, with a page to spare for shifting it off its page. */
static uint8_t *plain, *cipher, *expected, *again;

static uint8_t *map_buffer(void) {
  void *bytes = mmap(NULL, options.max + page_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (bytes == MAP_FAILED) fail("mmap");
  return bytes;
}

static void compare(const char *what, const uint8_t *got, const uint8_t *want, size_t count,
                    enum shape shape) {
  if (memcmp(got, want, count) == 0) return;
  size_t at = 0;
  while (got[at] == want[at]) at++;
  errno = 0;
  fail("%s of %zu bytes, %s, differs at byte %zu", what, count, shape_names[shape], at);
}

/* Every size and shape with each key size; the device must agree with the kernel's software. */
static void verify_round(void) {
  static const size_t key_sizes[] = {16, 24, 32};
  for (size_t s = 0; s < size_count; s++) {
    struct counter before = {device_total[0].requests + device_total[1].requests,
                             device_total[0].bytes + device_total[1].bytes};
    for (size_t k = 0; k < 3; k++) {
      uint8_t key[32], iv[block_bytes];
      fill_random(key, sizeof key);
      struct transform device = open_transform(DEVICE_DRIVER, key, key_sizes[k], options.max);
      struct transform software = open_transform(SOFTWARE_DRIVER, key, key_sizes[k], options.max);
      for (enum shape shape = flat; shape < shape_count; shape++) {
        size_t count = sizes[s];
        size_t shift = shape == flat ? 0 : next_random() % page_bytes;
        uint8_t *in = plain + shift, *out = cipher + (shape == flat ? 0 : page_bytes - shift);
        fill_random(iv, sizeof iv);
        fill_random(in, count);
        /* What an earlier request left must not pass for an answer. */
        memset(out, 0xa5, count);
        memset(again, 0xa5, count);
        crypt_bytes(device, true, iv, shape, in, out, count);
        crypt_bytes(software, true, iv, flat, in, expected, count);
        compare("encryption", out, expected, count, shape);
        crypt_bytes(device, false, iv, shape, out, again, count);
        compare("decryption", again, in, count, shape);
      }
      close_transform(device);
      close_transform(software);
    }
    printf("guest: size %zu requests=%llu bytes=%llu ok\n", sizes[s],
           (unsigned long long)(device_total[0].requests + device_total[1].requests -
                                before.requests),
           (unsigned long long)(device_total[0].bytes + device_total[1].bytes - before.bytes));
  }
}

/*
 * Known keys, IV and text, so that a program outside the guest can compute the same ciphertext:
 * NIST SP 800-38A, F.2.1, F.2.3 and F.2.5, with the four plaintext blocks repeated.
 */
static void print_references(void) {
  static const uint8_t keys[3][32] = {
      {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f,
       0x3c},
      {0x8e, 0x73, 0xb0, 0xf7, 0xda, 0x0e, 0x64, 0x52, 0xc8, 0x10, 0xf3, 0x2b, 0x80, 0x90, 0x79,
       0xe5, 0x62, 0xf8, 0xea, 0xd2, 0x52, 0x2c, 0x6b, 0x7b},
      {0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae, 0xf0, 0x85, 0x7d, 0x77,
       0x81, 0x1f, 0x35, 0x2c, 0x07, 0x3b, 0x61, 0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3, 0x09, 0x14,
       0xdf, 0xf4}};
  static const uint8_t iv[block_bytes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  static const uint8_t text[64] = {
      0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17,
      0x2a, 0xae, 0x2d, 0x8a, 0x57, 0x1e, 0x03, 0xac, 0x9c, 0x9e, 0xb7, 0x6f, 0xac, 0x45, 0xaf,
      0x8e, 0x51, 0x30, 0xc8, 0x1c, 0x46, 0xa3, 0x5c, 0xe4, 0x11, 0xe5, 0xfb, 0xc1, 0x19, 0x1a,
      0x0a, 0x52, 0xef, 0xf6, 0x9f, 0x24, 0x45, 0xdf, 0x4f, 0x9b, 0x17, 0xad, 0x2b, 0x41, 0x7b,
      0xe6, 0x6c, 0x37, 0x10};
  size_t count = options.max < 65536 ? options.max : 65536;
  for (size_t i = 0; i < count; i++) plain[i] = text[i % sizeof text];
  for (size_t k = 0; k < 3; k++) {
    size_t key_bytes = 16 + 8 * k;
    uint8_t digest[32];
    struct transform device = open_transform(DEVICE_DRIVER, keys[k], key_bytes, options.max);
    crypt_bytes(device, true, iv, flat, plain, cipher, count);
    close_transform(device);
    sha256(cipher, count, digest);
    printf("guest: reference cipher=aes-%zu-cbc", key_bytes * 8);
    print_hex("key", keys[k], key_bytes);
    print_hex("iv", iv, sizeof iv);
    printf(" bytes=%zu", count);
    print_hex("sha256", digest, sizeof digest);
    printf("\n");
  }
}

static void read_options(int count, char **words) {
  struct {
    const char *name;
    unsigned long *value;
  } numbers[] = {{"hold", &options.hold},       {"iterations", &options.iterations},
                 {"max", &options.max},         {"seed", &options.seed}};
  for (int i = 1; i < count; i++) {
    char *value = strchr(words[i], '=');
    bool known = false;
    if (value) {
      *value++ = 0;
      for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++)
        if (strcmp(words[i], numbers[n].name) == 0) {
          *numbers[n].value = strtoul(value, NULL, 0);
          known = true;
        }
      if (strcmp(words[i], "mode") == 0) {
        options.mode = value;
        known = true;
      }
    }
    errno = EINVAL;
    if (!known) fail("option %s", words[i]);
  }
  errno = EINVAL;
  if (options.max < block_bytes || options.max % block_bytes || options.max > 64 << 20)
    fail("max=%lu is not a multiple of 16 up to 64 MiB", options.max);
  if (options.seed == 0) fail("seed=0 gives zeros only");
}

int main(int argument_count, char **arguments) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  read_options(argument_count, arguments);
  random_state = options.seed;
  choose_sizes();
  plain = map_buffer();
  cipher = map_buffer();
  expected = map_buffer();
  again = map_buffer();

  if (options.hold) hold("before");
  if (strcmp(options.mode, "selftest") == 0 || strcmp(options.mode, "hold") == 0) {
    for (unsigned long i = 1; i <= options.iterations; i++) {
      char name[32];
      snprintf(name, sizeof name, "%lu", i);
      if (strcmp(options.mode, "hold") == 0) hold(name);
      verify_round();
    }
  } else {
    errno = EINVAL;
    fail("mode %s", options.mode);
  }
  print_references();
  for (int encrypt = 1; encrypt >= 0; encrypt--)
    printf("guest: device %s requests=%llu bytes=%llu\n", encrypt ? "encrypt" : "decrypt",
           (unsigned long long)device_total[encrypt].requests,
           (unsigned long long)device_total[encrypt].bytes);
  if (options.hold) hold("after");
  printf("guest: PASS %llu requests, %llu bytes\n",
         (unsigned long long)(device_total[0].requests + device_total[1].requests),
         (unsigned long long)(device_total[0].bytes + device_total[1].bytes));
  return 0;
}
