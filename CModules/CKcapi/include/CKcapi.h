// AF_ALG, the kernel's crypto sockets, as EngineAFALG uses them: what there is, keyed transforms, operations' messages.
//
// libkcapi answers what the kernel can do: names, block and IV lengths, keys on trial. It keeps its sockets to itself,
// so those that an io_uring is to read are opened here.
//
// The functions marked CKCAPI_HOT promise Swift that they neither allocate nor lock in this process; some are a system
// call each. Lengths were checked by the caller; pointers are non-null unless said.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define CKCAPI_UNALLOCATING __attribute__((swift_attr("@_noAllocation"), swift_attr("@_noLocks")))
#define CKCAPI_HOT static inline CKCAPI_UNALLOCATING

// ---- What the kernel has --------------------------------------------------------------------------------------------

enum { CKCAPI_SKCIPHER = 0, CKCAPI_HASH = 1, CKCAPI_AEAD = 2 };

// libkcapi's name and version; it is told to keep quiet.
void ckcapi_version(char *text, uint32_t count);
// Whether the kernel lets us open AF_ALG sockets: 0, or the errno that says why not.
int ckcapi_available(void);

// What a transform is like.
typedef struct {
  uint32_t iv_count;
  uint32_t block_count;
  // Of hashes: the whole digest. Of AEADs: the longest tag.
  uint32_t result_count;
} ckcapi_traits;

// Asks libkcapi for an algorithm or a driver. 0 and its traits, or -errno; traits are all zero where the kernel has the
// transform but cannot describe it (no crypto_user module).
int ckcapi_query(int kind, const char *name, ckcapi_traits *traits);

// ---- Memory ---------------------------------------------------------------------------------------------------------

// Zeroed memory that takes up room only where it is touched, kept out of core dumps; null if there is none.
void *ckcapi_map(size_t count);
void ckcapi_unmap(void *memory, size_t count);

// A fill that the optimiser may not drop although nobody reads the memory again.
CKCAPI_HOT void ckcapi_wipe(void *memory, size_t count) {
  memset(memory, 0, count);
  __asm__ volatile("" : : "r"(memory) : "memory");
}

CKCAPI_HOT void ckcapi_copy(void *to, const void *from, size_t count) { memmove(to, from, count); }

CKCAPI_HOT bool ckcapi_equal(const uint8_t *a, const uint8_t *b, size_t count) {
  uint8_t difference = 0;
  for (size_t index = 0; index < count; index++) difference |= a[index] ^ b[index];
  __asm__ volatile("" : "+r"(difference));
  return difference == 0;
}

// 16 bytes that an operation carries as two words in memory order.
CKCAPI_HOT void ckcapi_store_block(uint8_t *to, uint64_t first, uint64_t second) {
  memcpy(to, &first, 8);
  memcpy(to + 8, &second, 8);
}

// Blocks of 16 bytes: vector ^ 0, vector ^ 1, …, the number in network order at the block's end.
CKCAPI_HOT void ckcapi_make_counted_blocks(uint8_t *to, const uint8_t *vector, size_t count) {
  for (size_t index = 0; index < count; index++) {
    memcpy(to + 16 * index, vector, 16);
    for (size_t byte = 0; byte < 8; byte++)
      to[16 * index + 15 - byte] ^= (uint8_t)((uint64_t)index >> (8 * byte));
  }
}

// to = from ^ other; `to` may be either.
CKCAPI_HOT void ckcapi_xor(uint8_t *to, const uint8_t *from, const uint8_t *other, size_t count) {
  for (size_t index = 0; index < count; index++) to[index] = from[index] ^ other[index];
}

// ---- Transforms and their operation sockets -------------------------------------------------------------------------

// A socket bound to an algorithm or a driver (at most 63 bytes), or -errno.
CKCAPI_UNALLOCATING int ckcapi_open(int kind, const char *name);
// 0 or -errno. An empty key is a zero byte, which is the same to HMAC.
CKCAPI_UNALLOCATING int ckcapi_set_key(int transform, const uint8_t *key, size_t count);
CKCAPI_UNALLOCATING int ckcapi_set_tag_count(int transform, size_t count);
// A socket for operations under the transform's key, or -errno.
CKCAPI_UNALLOCATING int ckcapi_accept(int transform);
// Lets an operation socket hold messages of so many bytes on each side; what it holds now, at least 4096.
CKCAPI_UNALLOCATING size_t ckcapi_widen(int operation, size_t count);
CKCAPI_UNALLOCATING void ckcapi_close(int socket);
// Whether a message of so many bytes, a multiple of 16, comes back whole in one read from a new operation socket of a
// cipher, widened or as it is. `memory` holds it, and what comes back.
bool ckcapi_passes(int transform, uint32_t iv_count, void *memory, size_t count, bool widens);
// Whether the kernel finishes a read of this transform later and by itself: sends and reads `count` zero bytes on a
// socket of its own and looks whether the read was done when it was submitted. False also where the trial fails.
bool ckcapi_is_asynchronous(int kind, int transform, uint32_t iv_count, size_t count);

// ---- One operation's messages ---------------------------------------------------------------------------------------

// Room for the three control messages of an operation: IV (16 bytes at most), direction, length of associated data.
#define CKCAPI_CONTROL_COUNT \
  (CMSG_SPACE(4 + 16) + CMSG_SPACE(sizeof(uint32_t)) + CMSG_SPACE(sizeof(uint32_t)))

typedef struct {
  struct msghdr message;
  struct iovec input[5];
  struct iovec output[3];
  uint32_t output_count;
  // What the read gives when all is well.
  uint64_t expected;
  // As aligned as a struct cmsghdr wants it.
  uint64_t control[(CKCAPI_CONTROL_COUNT + 7) / 8];
  uint8_t iv[16];
  // A tag or digest that is not wanted whole, or on its way to the next step.
  uint8_t result[64];
} ckcapi_exchange;

// Starts a message: no input, no output, no control data.
CKCAPI_HOT void ckcapi_begin(ckcapi_exchange *exchange) {
  memset(&exchange->message, 0, sizeof exchange->message);
  exchange->message.msg_iov = exchange->input;
  exchange->output_count = 0;
  exchange->expected = 0;
}

// The next input; nothing is added for none.
CKCAPI_HOT void ckcapi_add_input(ckcapi_exchange *exchange, const void *bytes, size_t count) {
  if (count == 0) return;
  struct iovec *vector = &exchange->input[exchange->message.msg_iovlen++];
  vector->iov_base = (void *)bytes;
  vector->iov_len = count;
}

// The next output, likewise.
CKCAPI_HOT void ckcapi_add_output(ckcapi_exchange *exchange, void *bytes, size_t count) {
  if (count == 0) return;
  struct iovec *vector = &exchange->output[exchange->output_count++];
  vector->iov_base = bytes;
  vector->iov_len = count;
  exchange->expected += count;
}

// Zeros until what stands before them, `count` bytes, is a whole number of blocks. Spec: NIST SP 800-38D §7.1, 0^u, 0^v.
CKCAPI_HOT void ckcapi_add_padding(ckcapi_exchange *exchange, size_t count) {
  static const uint8_t zeros[16];
  ckcapi_add_input(exchange, zeros, (0 - count) & 15);
}

// The block that ends what GHASH covers, both lengths in bits; it takes the place of an IV.
CKCAPI_HOT void ckcapi_add_lengths(ckcapi_exchange *exchange, uint64_t aad_count, uint64_t text_count) {
  uint64_t lengths[2] = {__builtin_bswap64(aad_count * 8), __builtin_bswap64(text_count * 8)};
  memcpy(exchange->iv, lengths, sizeof lengths);
  ckcapi_add_input(exchange, exchange->iv, sizeof lengths);
}

// Room behind the output that is offered and not used: a read of no bytes would not reach the transform.
CKCAPI_HOT void ckcapi_add_slack(ckcapi_exchange *exchange, void *bytes, size_t count) {
  uint64_t expected = exchange->expected;
  ckcapi_add_output(exchange, bytes, count);
  exchange->expected = expected;
}

// Direction, IV (from `iv`, 0…16 bytes) and, where it is not negative, length of associated data.
CKCAPI_UNALLOCATING void ckcapi_set_control(
    ckcapi_exchange *exchange, bool encrypt, size_t iv_count, int64_t associated_count);
