/*
 * RSA from inside a guest, through the kernel's keyrings: keyctl(2) with the operations of
 * asymmetric keys. Which driver computes is the kernel's choice, by priority. The keys, and what
 * openssl made with them, come from rsa-material.sh.
 *
 * usage: guest-keys FOLDER
 *
 *   FOLDER/single/NAME.*   a key with known answers: p8 and crt (the private key and a certificate
 *                          that it signed, both DER), message, encrypted (the message by
 *                          PKCS #1 v1.5), block and raw (m and m^e mod n), HASH and HASH.signature
 *   FOLDER/many/NAME.*     a key of many: p8, and encrypted, which hides NAME
 *
 * Every single key does everything, through its private half and through its certificate. What
 * has one right answer must be openssl's; what is random is printed, for openssl to decrypt. Then
 * all of the many keys are in one keyring, and a process for each decrypts with it, all released
 * at the same moment.
 *
 * The numbers at the end are the requests that must reach a device whose drivers are
 * virtio-crypto-rsa ("rsa") and virtio-pkcs1-rsa ("pkcs1pad(rsa)"). Linux 6.1 asks neither for
 * signatures: with a hash, the kernel pads, and signing is the decryption of a raw block, verifying
 * the encryption of one.
 *
 *   guest: encrypted key=rsa-2048 half=public bytes=…
 *   guest: key rsa-2048 ok
 *   guest: keys 600 decrypted with at once
 *   guest: rsa encrypt requests=77 errors=4
 *   guest: rsa PASS 698 requests
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "guest-program.h"

enum { file_limit = 4096, path_limit = 256, key_limit = 4096 };

enum operation { encrypt, decrypt, sign };
static const char *const operation_names[] = {"encrypt", "decrypt", "sign"};

/* Requests that must have reached the device: [encrypt] and [decrypt]. */
static struct {
  unsigned long requests, errors;
} device[2];

static void count(enum operation operation, bool is_error) {
  device[operation].requests += 1;
  device[operation].errors += is_error;
}

struct bytes {
  size_t count;
  uint8_t bytes[file_limit];
};

static struct bytes read_file(const char *folder, const char *name, const char *suffix) {
  struct bytes file;
  char path[path_limit];
  snprintf(path, sizeof path, "%s/%s.%s", folder, name, suffix);
  int fd = open(path, O_RDONLY);
  ssize_t got = fd < 0 ? -1 : read(fd, file.bytes, sizeof file.bytes);
  if (got <= 0 || got == file_limit) fail("%s", path);
  close(fd);
  file.count = (size_t)got;
  return file;
}

/* The names of a folder's keys, in order. */
static size_t list_keys(const char *folder, char *names[key_limit]) {
  struct dirent **entries;
  size_t used = 0;
  int found = scandir(folder, &entries, NULL, alphasort);
  if (found < 0) fail("%s", folder);
  for (int i = 0; i < found; i++) {
    char *dot = strrchr(entries[i]->d_name, '.');
    if (!dot || strcmp(dot, ".p8") != 0) continue;
    if (used == key_limit) fail("%s has more than %d keys", folder, key_limit);
    names[used++] = strndup(entries[i]->d_name, (size_t)(dot - entries[i]->d_name));
  }
  if (used == 0) fail("%s has no keys", folder);
  return used;
}

/* ---- keyctl --------------------------------------------------------------------------------- */

static int32_t add_key(const char *folder, const char *name, const char *suffix) {
  struct bytes payload = read_file(folder, name, suffix);
  char description[path_limit];
  /* A second key of the same description would take the first one's place in the keyring. */
  snprintf(description, sizeof description, "%s.%s", name, suffix);
  long key = syscall(SYS_add_key, "asymmetric", description, payload.bytes, payload.count,
                     KEY_SPEC_SESSION_KEYRING);
  if (key < 0) fail("add_key %s", description);
  return (int32_t)key;
}

/* The result's length, or −1 and errno. */
static ssize_t apply(enum operation operation, int32_t key, const char *how,
                     const struct bytes *input, struct bytes *output) {
  static const int commands[] = {KEYCTL_PKEY_ENCRYPT, KEYCTL_PKEY_DECRYPT, KEYCTL_PKEY_SIGN};
  struct keyctl_pkey_query size;
  if (syscall(SYS_keyctl, KEYCTL_PKEY_QUERY, key, 0, how, &size)) fail("query, %s", how);
  struct keyctl_pkey_params parameters = {
      .key_id = key, .in_len = (uint32_t)input->count, .out_len = size.key_size / 8};
  memset(output->bytes, 0xa5, sizeof output->bytes);
  ssize_t result = syscall(SYS_keyctl, commands[operation], &parameters, how, input->bytes,
                           output->bytes);
  output->count = result < 0 ? 0 : (size_t)result;
  return result;
}

static bool verifies(int32_t key, const char *how, const struct bytes *digest,
                     const struct bytes *signature) {
  struct keyctl_pkey_params parameters = {.key_id = key,
                                          .in_len = (uint32_t)digest->count,
                                          .in2_len = (uint32_t)signature->count};
  long result = syscall(SYS_keyctl, KEYCTL_PKEY_VERIFY, &parameters, how, digest->bytes,
                        signature->bytes);
  if (result && errno != EKEYREJECTED) fail("verify, %s", how);
  return result == 0;
}

static void expect(const char *name, enum operation operation, int32_t key, const char *how,
                   const struct bytes *input, const struct bytes *expected) {
  struct bytes output;
  if (apply(operation, key, how, input, &output) < 0)
    fail("%s: %s, %s", name, operation_names[operation], how);
  errno = 0;
  if (output.count != expected->count || memcmp(output.bytes, expected->bytes, output.count))
    fail("%s: %s, %s: %zu bytes, which are not openssl's %zu", name, operation_names[operation],
         how, output.count, expected->count);
}

/* ---- Keys ----------------------------------------------------------------------------------- */

static const char *const hashes[] = {"sha1", "sha256", "sha512"};

static void use_signatures(const char *folder, const char *name, int32_t private_key,
                           int32_t certificate) {
  for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
    char how[64], suffix[32];
    snprintf(how, sizeof how, "enc=pkcs1 hash=%s", hashes[i]);
    snprintf(suffix, sizeof suffix, "%s.signature", hashes[i]);
    struct bytes digest = read_file(folder, name, hashes[i]);
    struct bytes signature = read_file(folder, name, suffix);
    expect(name, sign, private_key, how, &digest, &signature);
    count(decrypt, false);

    const int32_t halves[] = {private_key, certificate};
    for (size_t half = 0; half < 2; half++) {
      errno = 0;
      if (!verifies(halves[half], how, &digest, &signature))
        fail("%s: %s: openssl's signature is rejected", name, how);
      count(encrypt, false);
      struct bytes other = digest;
      other.bytes[0] ^= 1;
      if (verifies(halves[half], how, &other, &signature))
        fail("%s: %s: the signature of another digest is accepted", name, how);
      count(encrypt, false);
    }
  }
}

static void use_key(const char *folder, const char *name) {
  int32_t private_key = add_key(folder, name, "p8");
  int32_t certificate = add_key(folder, name, "crt");
  /* The kernel verifies at once that the certificate signed itself (with SHA-256). */
  count(encrypt, false);

  struct bytes block = read_file(folder, name, "block"), raw = read_file(folder, name, "raw");
  struct bytes message = read_file(folder, name, "message"), output;
  struct bytes encrypted = read_file(folder, name, "encrypted");
  const struct {
    int32_t key;
    const char *name;
  } halves[] = {{private_key, "private"}, {certificate, "public"}};
  for (size_t half = 0; half < 2; half++) {
    expect(name, encrypt, halves[half].key, "enc=raw", &block, &raw);
    count(encrypt, false);
    if (apply(encrypt, halves[half].key, "enc=pkcs1", &message, &output) < 0)
      fail("%s: encrypt, enc=pkcs1", name);
    count(encrypt, false);
    printf("guest: encrypted key=%s half=%s", name, halves[half].name);
    print_hex("bytes", output.bytes, output.count);
    printf("\n");
  }
  expect(name, decrypt, private_key, "enc=raw", &raw, &block);
  count(decrypt, false);
  expect(name, decrypt, private_key, "enc=pkcs1", &encrypted, &message);
  count(decrypt, false);
  use_signatures(folder, name, private_key, certificate);

  /* No number below the modulus: refused, and the key goes on working. */
  struct bytes large = block;
  memset(large.bytes, 0xff, large.count);
  if (apply(encrypt, private_key, "enc=raw", &large, &output) >= 0)
    fail("%s: a block larger than the modulus is accepted", name);
  count(encrypt, true);
  expect(name, encrypt, private_key, "enc=raw", &block, &raw);
  count(encrypt, false);
  printf("guest: key %s ok\n", name);
}

/* One key's process: waits for the end of the pipe, decrypts, compares. */
static void use_one_of_many(int go, const char *folder, const char *name, int32_t key) {
  struct bytes encrypted = read_file(folder, name, "encrypted"), message;
  char end;
  if (read(go, &end, 1) != 0) fail("waiting for the others");
  message.count = strlen(name);
  memcpy(message.bytes, name, message.count);
  expect(name, decrypt, key, "enc=pkcs1", &encrypted, &message);
}

static void use_many(const char *folder) {
  static char *names[key_limit];
  static int32_t keys[key_limit];
  size_t key_count = list_keys(folder, names);
  for (size_t i = 0; i < key_count; i++) keys[i] = add_key(folder, names[i], "p8");
  int go[2];
  if (pipe(go)) fail("pipe");
  for (size_t i = 0; i < key_count; i++) {
    pid_t child = fork();
    if (child < 0) fail("fork of process %zu", i);
    if (child > 0) continue;
    close(go[1]);
    use_one_of_many(go[0], folder, names[i], keys[i]);
    _exit(0);
  }
  close(go[1]);
  for (size_t i = 0; i < key_count; i++) {
    int status;
    errno = 0;
    if (wait(&status) < 0 || status != 0) fail("one of %zu keys at once", key_count);
    count(decrypt, false);
  }
  printf("guest: keys %zu decrypted with at once\n", key_count);
}

int main(int argument_count, char **arguments) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  errno = EINVAL;
  if (argument_count != 2) fail("usage: guest-keys FOLDER");
  if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0) fail("a session keyring");

  char single[path_limit], many[path_limit];
  snprintf(single, sizeof single, "%s/single", arguments[1]);
  snprintf(many, sizeof many, "%s/many", arguments[1]);
  hold("rsa-before");
  /* The kernel tests pkcs1pad(rsa,sha256) on top of the device's RSA with one signature, which it
     makes and verifies, when the first certificate asks for it. */
  count(decrypt, false);
  count(encrypt, false);
  static char *names[key_limit];
  size_t key_count = list_keys(single, names);
  for (size_t i = 0; i < key_count; i++) use_key(single, names[i]);
  use_many(many);
  hold("rsa-after");

  unsigned long total = 0;
  for (int operation = 0; operation <= decrypt; operation++) {
    printf("guest: rsa %s requests=%lu errors=%lu\n", operation_names[operation],
           device[operation].requests, device[operation].errors);
    total += device[operation].requests;
  }
  printf("guest: rsa PASS %lu requests\n", total);
  return 0;
}
