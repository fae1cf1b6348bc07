/* A TCG plugin that counts what the guest executes, into a file that another process maps or reads.
 *
 *   -plugin insncount.so,out=FILE[,profile=on]
 *
 * FILE holds little-endian 64-bit words, refreshed every 2 ms and when QEMU ends:
 *   0  instructions executed, summed over the vCPUs
 *   1  blocks translated
 *   2  request: a reader adds one to ask for a profile
 *   3  answer: equals the request once the profile below is complete
 *   4  blocks in the profile
 *   8  the profile: for each block its guest address, its instructions, how often it ran
 *
 * A block is summed at the moment of the answer, so a reader gets the profile of a span of time by
 * asking twice. Counting slows the guest; do not measure times with it.
 *
 * The prototypes are written out because Debian packages QEMU without qemu-plugin.h; they are those of
 * plugin API 3 and later (QEMU 9.0 and later).
 */
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define MAX_BLOCKS (1u << 18)
#define WORDS (8 + 3 * (size_t)MAX_BLOCKS)

struct qemu_plugin_tb;
struct qemu_plugin_scoreboard;
typedef uint64_t qemu_plugin_id_t;
typedef struct { struct qemu_plugin_scoreboard *score; size_t offset; } qemu_plugin_u64;
enum { QEMU_PLUGIN_INLINE_ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t);
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *, int, qemu_plugin_u64, uint64_t);
uint64_t qemu_plugin_u64_sum(qemu_plugin_u64);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);

EXPORT int qemu_plugin_version = 3;

struct block { uint64_t address, insns; qemu_plugin_u64 runs; };

static volatile uint64_t *words;
static qemu_plugin_u64 executed;
static uint64_t translated;
static int profiling;
static struct block *blocks;
static uint32_t block_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The entry of a block, which is the same when the block is translated again; none once all are taken. */
static struct block *block_at(uint64_t address, uint64_t insns)
{
    static uint32_t *slots; /* open addressing, entry number + 1 */
    const uint32_t mask = 2 * MAX_BLOCKS - 1;
    if (!slots)
        slots = calloc(2 * MAX_BLOCKS, sizeof *slots);
    uint32_t slot = (uint32_t)((address ^ insns << 40) * 0x9e3779b97f4a7c15ull >> 40) & mask;
    for (; slots[slot]; slot = (slot + 1) & mask) {
        struct block *block = &blocks[slots[slot] - 1];
        if (block->address == address && block->insns == insns)
            return block;
    }
    if (block_count == MAX_BLOCKS)
        return NULL;
    struct block *block = &blocks[block_count];
    block->address = address;
    block->insns = insns;
    block->runs.score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
    slots[slot] = ++block_count;
    return block;
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    uint64_t insns = qemu_plugin_tb_n_insns(tb);
    __atomic_add_fetch(&translated, 1, __ATOMIC_RELAXED);
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64, executed, insns);
    if (!profiling)
        return;
    pthread_mutex_lock(&lock);
    struct block *block = block_at(qemu_plugin_tb_vaddr(tb), insns);
    pthread_mutex_unlock(&lock);
    if (block)
        qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64, block->runs, 1);
}

/* Not under the lock while summing: a sum waits for the vCPUs, and a vCPU may wait for the lock. */
static void answer(uint64_t request)
{
    pthread_mutex_lock(&lock);
    uint32_t count = block_count;
    pthread_mutex_unlock(&lock);
    for (uint32_t i = 0; i < count; i++) {
        words[8 + 3 * (size_t)i] = blocks[i].address;
        words[9 + 3 * (size_t)i] = blocks[i].insns;
        words[10 + 3 * (size_t)i] = qemu_plugin_u64_sum(blocks[i].runs);
    }
    words[4] = count;
    __atomic_store_n(&words[3], request, __ATOMIC_RELEASE);
}

/* A guest that powers off may have run for less than one refresh. */
static void finish(qemu_plugin_id_t id, void *unused)
{
    (void)id, (void)unused;
    words[0] = qemu_plugin_u64_sum(executed);
}

static void *publish(void *unused)
{
    for (;; usleep(2000)) {
        words[0] = qemu_plugin_u64_sum(executed);
        words[1] = __atomic_load_n(&translated, __ATOMIC_RELAXED);
        uint64_t request = __atomic_load_n(&words[2], __ATOMIC_ACQUIRE);
        if (profiling && request != words[3])
            answer(request);
    }
    return unused;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    const char *out = NULL;
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4))
            out = argv[i] + 4;
        if (!strcmp(argv[i], "profile=on"))
            profiling = 1;
    }
    int file = out ? open(out, O_RDWR | O_CREAT | O_TRUNC, 0644) : -1;
    if (file < 0 || ftruncate(file, WORDS * sizeof *words))
        return -1;
    words = mmap(NULL, WORDS * sizeof *words, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (words == MAP_FAILED)
        return -1;
    if (profiling && !(blocks = calloc(MAX_BLOCKS, sizeof *blocks)))
        return -1;
    executed.score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    pthread_t thread;
    return pthread_create(&thread, NULL, publish, NULL);
}
