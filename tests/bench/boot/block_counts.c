// A QEMU TCG plugin that counts guest instructions by translated block.
//
// At exit it writes one line a block to the file given as `out=FILE`: address, instructions in it,
// how often it ran, and the guest's instruction count when it was first translated, which is when
// it was first about to run; all but the second in hexadecimal. Blocks with the same address and
// another content (code that was replaced) are separate lines. One vCPU.
//
// The plugin interface (version 1, QEMU's docs/devel/tcg-plugins.rst) is declared here since Debian
// ships no header for it.
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* tb);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb* tb);
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                                  void (*callback)(qemu_plugin_id_t,
                                                                   struct qemu_plugin_tb*));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb* tb,
                                                     enum qemu_plugin_op op, void* counter,
                                                     uint64_t step);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id,
                                           void (*callback)(qemu_plugin_id_t, void*), void* data);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

struct block {
  uint64_t address;
  uint64_t first;
  uint64_t runs;
  uint64_t instructions;
};

enum { kPerSlab = 65536, kSlabs = 1024, kBuckets = 1 << 20 };
// Counters must not move: translated code holds their addresses.
static struct block* slabs[kSlabs];
static uint32_t buckets[kBuckets];  // index + 1 of the newest block of this hash
static uint32_t* chain;
static size_t used;
static uint64_t total;
static char* out_path;

static struct block* at(size_t index) { return &slabs[index / kPerSlab][index % kPerSlab]; }

static struct block* find_or_add(uint64_t address, uint64_t instructions) {
  const size_t bucket = (address * 0x9e3779b97f4a7c15ULL) >> 44;
  for (uint32_t i = buckets[bucket]; i != 0; i = chain[i - 1]) {
    struct block* known = at(i - 1);
    if (known->address == address && known->instructions == instructions) return known;
  }
  if (used == (size_t)kPerSlab * kSlabs) return NULL;
  if (used % kPerSlab == 0) {
    slabs[used / kPerSlab] = calloc(kPerSlab, sizeof(struct block));
    chain = realloc(chain, (used + kPerSlab) * sizeof *chain);
  }
  chain[used] = buckets[bucket];
  buckets[bucket] = (uint32_t)++used;
  struct block* added = at(used - 1);
  added->address = address;
  added->instructions = instructions;
  added->first = total;
  return added;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb* tb) {
  (void)id;
  const uint64_t instructions = qemu_plugin_tb_n_insns(tb);
  struct block* block = find_or_add(qemu_plugin_tb_vaddr(tb), instructions);
  if (block == NULL) return;
  qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &block->runs, 1);
  qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &total, instructions);
}

static void on_exit_write(qemu_plugin_id_t id, void* data) {
  (void)id;
  (void)data;
  FILE* out = fopen(out_path, "w");
  if (out == NULL) return;
  for (size_t i = 0; i < used; ++i) {
    const struct block* b = at(i);
    fprintf(out, "%" PRIx64 " %" PRIu64 " %" PRIx64 " %" PRIx64 "\n", b->address, b->instructions,
            b->runs, b->first);
  }
  fclose(out);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void* info, int argc, char** argv) {
  (void)info;
  for (int i = 0; i < argc; ++i) {
    if (strncmp(argv[i], "out=", 4) == 0) out_path = strdup(argv[i] + 4);
  }
  if (out_path == NULL) {
    fprintf(stderr, "block_counts: out=FILE is missing\n");
    return 1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
  qemu_plugin_register_atexit_cb(id, on_exit_write, NULL);
  return 0;
}
