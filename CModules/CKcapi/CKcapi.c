#define _GNU_SOURCE
#include "CKcapi.h"
#include "CLinuxShims.h"

#include <errno.h>
#include <kcapi.h>
#include <liburing.h>
#include <linux/if_alg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const type_names[] = {"skcipher", "hash", "aead"};

// ---- What the kernel has --------------------------------------------------------------------------------------------

void ckcapi_version(char *text, uint32_t count) {
  kcapi_set_verbosity(KCAPI_LOG_NONE);
  text[0] = 0;
  kcapi_versionstring(text, count);
}

int ckcapi_available(void) {
  int probe = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (probe < 0) return errno;
  close(probe);
  return 0;
}

int ckcapi_query(int kind, const char *name, ckcapi_traits *traits) {
  struct kcapi_handle *handle = NULL;
  memset(traits, 0, sizeof *traits);
  int result;
  switch (kind) {
    case CKCAPI_SKCIPHER: result = kcapi_cipher_init(&handle, name, 0); break;
    case CKCAPI_HASH: result = kcapi_md_init(&handle, name, 0); break;
    default: result = kcapi_aead_init(&handle, name, 0); break;
  }
  if (result < 0) {
    // It asks for the description after binding, so that the transform is there.
    return result == -EPROTONOSUPPORT ? 0 : result;
  }
  switch (kind) {
    case CKCAPI_SKCIPHER:
      traits->iv_count = kcapi_cipher_ivsize(handle);
      traits->block_count = kcapi_cipher_blocksize(handle);
      kcapi_cipher_destroy(handle);
      break;
    case CKCAPI_HASH:
      traits->result_count = kcapi_md_digestsize(handle);
      traits->block_count = kcapi_md_blocksize(handle);
      kcapi_md_destroy(handle);
      break;
    default:
      traits->iv_count = kcapi_aead_ivsize(handle);
      traits->result_count = kcapi_aead_authsize(handle);
      kcapi_aead_destroy(handle);
      break;
  }
  return 0;
}

// ---- Memory ---------------------------------------------------------------------------------------------------------

void *ckcapi_map(size_t count) {
  void *memory = mmap(
      NULL, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return NULL;
  clinux_hold_secrets(memory, count);
  return memory;
}

void ckcapi_unmap(void *memory, size_t count) { munmap(memory, count); }

// ---- Transforms and their operation sockets -------------------------------------------------------------------------

int ckcapi_open(int kind, const char *name) {
  struct sockaddr_alg address = {.salg_family = AF_ALG};
  size_t count = strlen(name);
  if (count >= sizeof address.salg_name) return -ENOENT;
  memcpy(address.salg_type, type_names[kind], strlen(type_names[kind]) + 1);
  memcpy(address.salg_name, name, count + 1);
  int transform = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (transform < 0) return -errno;
  if (bind(transform, (struct sockaddr *)&address, sizeof address) < 0) {
    int error = errno;
    close(transform);
    return -error;
  }
  return transform;
}

int ckcapi_set_key(int transform, const uint8_t *key, size_t count) {
  static const uint8_t zero = 0;
  if (count == 0) {
    key = &zero;
    count = 1;
  }
  return setsockopt(transform, SOL_ALG, ALG_SET_KEY, key, (socklen_t)count) < 0 ? -errno : 0;
}

int ckcapi_set_tag_count(int transform, size_t count) {
  // The length travels where others have the length of an option's value.
  int result = setsockopt(transform, SOL_ALG, ALG_SET_AEAD_AUTHSIZE, NULL, (socklen_t)count);
  return result < 0 ? -errno : 0;
}

int ckcapi_accept(int transform) {
  // Non-blocking: a read that finds less than it asks for must fail, and not wait for ever for a message that was cut.
  int operation = accept4(transform, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  return operation < 0 ? -errno : operation;
}

static size_t widen(int operation, int forced, int allowed, size_t count) {
  int wanted = (int)count;
  if (setsockopt(operation, SOL_SOCKET, forced, &wanted, sizeof wanted) < 0)
    setsockopt(operation, SOL_SOCKET, allowed, &wanted, sizeof wanted);
  int given = 0;
  socklen_t length = sizeof given;
  int name = allowed == SO_SNDBUF ? SO_SNDBUF : SO_RCVBUF;
  if (getsockopt(operation, SOL_SOCKET, name, &given, &length) < 0 || given < 4096) return 4096;
  return (size_t)given & ~(size_t)4095;
}

size_t ckcapi_widen(int operation, size_t count) {
  size_t sends = widen(operation, SO_SNDBUFFORCE, SO_SNDBUF, count);
  size_t receives = widen(operation, SO_RCVBUFFORCE, SO_RCVBUF, count);
  return sends < receives ? sends : receives;
}

void ckcapi_close(int socket) { close(socket); }

bool ckcapi_passes(int transform, uint32_t iv_count, void *memory, size_t count, bool widens) {
  int operation = ckcapi_accept(transform);
  if (operation < 0) return false;
  if (widens) ckcapi_widen(operation, count);
  ckcapi_exchange exchange;
  memset(&exchange, 0, sizeof exchange);
  ckcapi_begin(&exchange);
  ckcapi_add_input(&exchange, memory, count);
  ckcapi_set_control(&exchange, true, iv_count, -1);
  // Without waiting: a socket that is full waits for a reader. What was sent short must not be read in full, which would
  // wait for more.
  bool passes = sendmsg(operation, &exchange.message, MSG_DONTWAIT) == (ssize_t)count &&
                read(operation, memory, count) == (ssize_t)count;
  close(operation);
  return passes;
}

bool ckcapi_is_asynchronous(int kind, int transform, uint32_t iv_count, size_t count) {
  // A hash is computed while its message is sent, and sending is never asynchronous.
  if (kind == CKCAPI_HASH) return false;
  int operation = ckcapi_accept(transform);
  if (operation < 0) return false;
  struct io_uring_params parameters = {
      .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
  struct io_uring ring;
  bool is_asynchronous = false;
  uint8_t *memory = calloc(1, count + 16);
  // Only this kind of ring tells the two apart: what finishes later is seen only after another call.
  if (memory && io_uring_queue_init_params(4, &ring, &parameters) == 0) {
    ckcapi_exchange exchange;
    memset(&exchange, 0, sizeof exchange);
    ckcapi_begin(&exchange);
    ckcapi_add_input(&exchange, memory, count);
    ckcapi_add_output(&exchange, memory, count);
    if (kind == CKCAPI_AEAD) ckcapi_add_output(&exchange, memory + count, 16);
    // CCM's IV begins with the length of its length field.
    exchange.iv[0] = iv_count == 16 ? 1 : 0;
    ckcapi_set_control(&exchange, true, iv_count, kind == CKCAPI_AEAD ? 0 : -1);
    if (sendmsg(operation, &exchange.message, 0) == (ssize_t)count) {
      struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
      io_uring_prep_readv(sqe, operation, exchange.output, exchange.output_count, 0);
      struct io_uring_cqe *cqe = NULL;
      if (io_uring_submit(&ring) == 1) {
        is_asynchronous = io_uring_cq_ready(&ring) == 0;
        // Whichever it is, its memory is ours only when it is over.
        int result;
        do result = io_uring_wait_cqe(&ring, &cqe);
        while (result == -EINTR);
        if (result < 0 || cqe->res < 0) is_asynchronous = false;
      }
    }
    io_uring_queue_exit(&ring);
  }
  free(memory);
  close(operation);
  return is_asynchronous;
}

// ---- One operation's messages ---------------------------------------------------------------------------------------

void ckcapi_set_control(
    ckcapi_exchange *exchange, bool encrypt, size_t iv_count, int64_t associated_count) {
  struct msghdr *message = &exchange->message;
  memset(exchange->control, 0, sizeof exchange->control);
  message->msg_control = exchange->control;
  message->msg_controllen = CMSG_SPACE(sizeof(uint32_t)) +
                            (iv_count ? CMSG_SPACE(4 + iv_count) : 0) +
                            (associated_count >= 0 ? CMSG_SPACE(sizeof(uint32_t)) : 0);
  struct cmsghdr *header = CMSG_FIRSTHDR(message);
  header->cmsg_level = SOL_ALG;
  header->cmsg_type = ALG_SET_OP;
  header->cmsg_len = CMSG_LEN(sizeof(uint32_t));
  uint32_t direction = encrypt ? ALG_OP_ENCRYPT : ALG_OP_DECRYPT;
  memcpy(CMSG_DATA(header), &direction, sizeof direction);
  if (iv_count) {
    header = CMSG_NXTHDR(message, header);
    header->cmsg_level = SOL_ALG;
    header->cmsg_type = ALG_SET_IV;
    header->cmsg_len = CMSG_LEN(4 + iv_count);
    uint32_t length = (uint32_t)iv_count;
    memcpy(CMSG_DATA(header), &length, sizeof length);
    memcpy(CMSG_DATA(header) + sizeof length, exchange->iv, iv_count);
  }
  if (associated_count >= 0) {
    header = CMSG_NXTHDR(message, header);
    header->cmsg_level = SOL_ALG;
    header->cmsg_type = ALG_SET_AEAD_ASSOCLEN;
    header->cmsg_len = CMSG_LEN(sizeof(uint32_t));
    uint32_t length = (uint32_t)associated_count;
    memcpy(CMSG_DATA(header), &length, sizeof length);
  }
}
