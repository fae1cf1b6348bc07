// Several system calls at once: torov_submit makes them by one call of ToroV, or one by one where there is no ToroV.
//
// This header is all there is to it. A program that includes it runs on Linux as well.
#ifndef TOROV_H
#define TOROV_H

#include <errno.h>
#include <stdint.h>

// A call, and what came of it: -errno if it failed, as the kernel says it. While torov_submit runs it is torov_submit's.
struct torov_call {
    uint64_t number;
    uint64_t args[6];
    int64_t result;
} __attribute__((aligned(64)));

// The call that Linux does not have. The number is loaded right before: such sites are patched.
static inline int64_t torov_batch(struct torov_call *calls, uint64_t count) {
    int64_t made;
    __asm__ volatile("mov $0x546f72, %%eax\n\tsyscall" : "=a"(made) : "D"(calls), "S"(count) : "rcx", "r11", "memory");
    return made;
}

static inline void torov_one(struct torov_call *call) {
    register uint64_t r10 __asm__("r10") = call->args[3];
    register uint64_t r8 __asm__("r8") = call->args[4];
    register uint64_t r9 __asm__("r9") = call->args[5];
    __asm__ volatile("syscall"
                     : "=a"(call->result)
                     : "a"(call->number), "D"(call->args[0]), "S"(call->args[1]), "d"(call->args[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
}

// Makes `count` calls in their order, each as if it were made alone, and returns how many were made. That is less than `count`
// behind a call that a signal ended (its result is -EINTR, whatever SA_RESTART says), and where the records cannot be written to.
// Calls that end or start a thread, and rt_sigreturn, sigaltstack and arch_prctl, answer -ENOSYS here. May block as the calls do.
static inline uint64_t torov_submit(struct torov_call *calls, uint64_t count) {
    uint64_t done = 0;
    while (done < count) {
        int64_t made = torov_batch(calls + done, count - done);
        if (made == -ENOSYS) {
            torov_one(calls + done);
            made = 1;
        }
        if (made <= 0) break;
        done += (uint64_t)made;
        if (calls[done - 1].result == -EINTR) break;
    }
    return done;
}

#endif
