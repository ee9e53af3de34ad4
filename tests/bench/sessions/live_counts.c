// A QEMU TCG plugin that shows how many instructions the guest has executed, while it runs.
//
// The file given as `out=FILE` holds two 64-bit numbers of the host's byte order, user space and
// kernel, and may be read (or mapped) at any time. One vCPU.
//
// The plugin interface (version 1, QEMU's docs/devel/tcg-plugins.rst) is declared here since Debian
// ships no header for it.
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

struct counts {
  uint64_t user;
  uint64_t kernel;
};
static struct counts* counts;

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb* tb) {
  (void)id;
  const uint64_t user_end = 1ULL << 47;
  uint64_t* counter = qemu_plugin_tb_vaddr(tb) < user_end ? &counts->user : &counts->kernel;
  qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, counter,
                                           qemu_plugin_tb_n_insns(tb));
}

static struct counts* map_file(const char* path) {
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return NULL;
  void* mapped = MAP_FAILED;
  if (ftruncate(fd, sizeof(struct counts)) == 0) {
    mapped = mmap(NULL, sizeof(struct counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  close(fd);
  return mapped == MAP_FAILED ? NULL : mapped;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void* info, int argc, char** argv) {
  (void)info;
  const char* path = NULL;
  for (int i = 0; i < argc; ++i) {
    if (strncmp(argv[i], "out=", 4) == 0) path = argv[i] + 4;
  }
  if (path == NULL) {
    fprintf(stderr, "live_counts: out=FILE is missing\n");
    return 1;
  }
  counts = map_file(path);
  if (counts == NULL) {
    perror(path);
    return 1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
  return 0;
}
