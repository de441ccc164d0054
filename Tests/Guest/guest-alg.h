/*
 * AF_ALG as the guest's programs use it: skciphers by the exact name of their driver, CBC's IV.
 * To be included once, after guest-program.h.
 */
#ifndef GUEST_ALG_H
#define GUEST_ALG_H

#include <linux/if_alg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define DEVICE_DRIVER "virtio_crypto_aes_cbc"
#define SOFTWARE_DRIVER "cbc(aes-generic)"

enum { block_bytes = 16 };

/* One key in one driver: the bound socket, and the one that takes requests. */
struct transform {
  int bound, request;
  bool is_device;
};

static int alg_socket(const char *type, const char *driver) {
  struct sockaddr_alg address = {.salg_family = AF_ALG};
  strcpy((char *)address.salg_type, type);
  strcpy((char *)address.salg_name, driver);
  int fd = socket(AF_ALG, SOCK_SEQPACKET, 0);
  if (fd < 0) fail("socket(AF_ALG)");
  if (bind(fd, (struct sockaddr *)&address, sizeof address)) fail("bind %s", driver);
  return fd;
}

/* For requests of up to `limit` bytes. */
static struct transform open_transform(const char *driver, const uint8_t *key, size_t key_bytes,
                                       size_t limit) {
  struct transform t = {.is_device = strcmp(driver, DEVICE_DRIVER) == 0};
  t.bound = alg_socket("skcipher", driver);
  if (setsockopt(t.bound, SOL_ALG, ALG_SET_KEY, key, key_bytes)) fail("key for %s", driver);
  t.request = accept(t.bound, NULL, 0);
  if (t.request < 0) fail("accept for %s", driver);
  /* Too small a buffer would block the sender, or cut one request into two. */
  int room = (int)limit * 2 + (1 << 20);
  if (setsockopt(t.request, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) ||
      setsockopt(t.request, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room))
    fail("socket buffer of %d bytes", room);
  return t;
}

__attribute__((unused)) static void close_transform(struct transform t) {
  close(t.request);
  close(t.bound);
}

/* Says what the next request is; its data, if not given here, follows. */
static void send_start(int fd, bool encrypt, const uint8_t *iv, struct iovec *vectors,
                       size_t vector_count, int flags) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(uint32_t)) +
               CMSG_SPACE(sizeof(struct af_alg_iv) + block_bytes)];
  } control = {0};
  struct msghdr message = {.msg_iov = vectors,
                           .msg_iovlen = vector_count,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  struct cmsghdr *part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = SOL_ALG;
  part->cmsg_type = ALG_SET_OP;
  part->cmsg_len = CMSG_LEN(sizeof(uint32_t));
  *(uint32_t *)(void *)CMSG_DATA(part) = encrypt ? ALG_OP_ENCRYPT : ALG_OP_DECRYPT;
  part = CMSG_NXTHDR(&message, part);
  part->cmsg_level = SOL_ALG;
  part->cmsg_type = ALG_SET_IV;
  part->cmsg_len = CMSG_LEN(sizeof(struct af_alg_iv) + block_bytes);
  struct af_alg_iv *value = (void *)CMSG_DATA(part);
  value->ivlen = block_bytes;
  memcpy(value->iv, iv, block_bytes);

  size_t expected = 0;
  for (size_t i = 0; i < vector_count; i++) expected += vectors[i].iov_len;
  ssize_t sent = sendmsg(fd, &message, flags);
  if (sent < 0 || (size_t)sent != expected) fail("sendmsg of %zu bytes gave %zd", expected, sent);
}

#endif
