// Makes calls in batches, and checks or measures what comes of it; runs on Linux as well.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "../include/torov.h"

#define CHECK(what) do { if (!(what)) { fprintf(stderr, "line %d: %s, errno %d\n", __LINE__, #what, errno); exit(1); } } while (0)
#define SIZE 16

static uint64_t word(const void *pointer) { return (uint64_t)(uintptr_t)pointer; }

static struct torov_call call(long number, uint64_t a, uint64_t b, uint64_t c) {
    return (struct torov_call){ (uint64_t)number, { a, b, c }, 77 };
}

// `number` bytes, in batches of SIZE.
static void bytes(long number) {
    static struct torov_call calls[SIZE];
    for (long at = 0; at < number; at += SIZE) {
        for (long next = 0; next < SIZE; next++) {
            calls[next] = call(SYS_write, 1, word("abcdefghij" + (at + next) % 10), 1);
        }
        CHECK(torov_submit(calls, SIZE) == SIZE);
        for (long next = 0; next < SIZE; next++) CHECK(calls[next].result == 1);
    }
}

// Calls that fail, that wait and that are none, between others: all in their order.
static void mixed(void) {
    int ends[2];
    char letters[4] = { 0 };
    CHECK(pipe(ends) == 0);
    struct torov_call calls[] = {
        call(SYS_lseek, (uint64_t)ends[0], 0, SEEK_CUR),
        call(SYS_write, (uint64_t)ends[1], word("ab"), 2),
        call(SYS_read, (uint64_t)ends[0], word(letters), 1),
        call(SYS_write, 1000, word("x"), 1),
        call(SYS_read, (uint64_t)ends[0], word(letters + 1), 1),
        call(100000, 0, 0, 0),
        call(SYS_write, (uint64_t)ends[1], 8, 1),
        call(SYS_getppid, 0, 0, 0),
    };
    const int64_t results[] = { -ESPIPE, 2, 1, -EBADF, 1, -ENOSYS, -EFAULT, getppid() };
    for (int round = 0; round < 50; round++) {
        memset(letters, 0, sizeof letters);
        CHECK(torov_submit(calls, 8) == 8);
        for (int at = 0; at < 8; at++) {
            // What Linux does not have ToroV does not allow either.
            int is_other = results[at] == -ENOSYS && calls[at].result == -EPERM;
            CHECK(is_other || calls[at].result == results[at]);
        }
        CHECK(!strcmp(letters, "ab"));
    }
}

static void edges(void) {
    struct torov_call many[200];
    for (int at = 0; at < 200; at++) many[at] = call(SYS_getppid, 0, 0, 0);
    CHECK(torov_submit(many, 0) == 0);
    CHECK(torov_submit(many, 200) == 200);
    for (int at = 0; at < 200; at++) CHECK(many[at].result == getppid());
    if (torov_batch(many, 0) == -ENOSYS) return;
    // Records that cannot be written to: no call is made.
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct torov_call *last = (struct torov_call *)(page + 4096) - 1;
    last[0] = last[1] = call(SYS_write, 1, word("never"), 5);
    CHECK(mprotect(page + 4096, 4096, PROT_READ) == 0);
    CHECK(torov_batch(last, 2) == -EFAULT && last->result == 77);
    CHECK(munmap(page + 4096, 4096) == 0);
    CHECK(torov_batch(last, 2) == -EFAULT && torov_batch((void *)-64, 4) == -EFAULT);
    last[0] = call(SYS_exit, 3, 0, 0);
    CHECK(torov_batch(last, 1) == 1 && last->result == -ENOSYS);
}

static void nothing(int signal) { (void)signal; }

static void *interrupt(void *thread) {
    for (;;) {
        pthread_kill(*(pthread_t *)thread, SIGUSR1);
        usleep(1000);
    }
    return NULL;
}

// A batch ends behind the call that a signal ended.
static void interrupted(void) {
    struct sigaction action = { .sa_handler = nothing, .sa_flags = SA_RESTART };
    int ends[2];
    char letter;
    // The other thread looks at it to the end.
    static pthread_t self;
    pthread_t other;
    self = pthread_self();
    CHECK(pipe(ends) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(pthread_create(&other, NULL, interrupt, &self) == 0);
    if (torov_batch(NULL, 0) == -ENOSYS) return;
    struct torov_call calls[] = {
        call(SYS_getppid, 0, 0, 0), call(SYS_read, (uint64_t)ends[0], word(&letter), 1), call(SYS_getppid, 0, 0, 0),
    };
    CHECK(torov_submit(calls, 3) == 2 && calls[1].result == -EINTR && calls[2].result == 77);
}

// What is denied is denied in a batch, made by the ring or outside.
static void denied(void) {
    for (int round = 0; round < 50; round++) {
        struct torov_call calls[] = {
            call(SYS_getppid, 0, 0, 0), call(SYS_lseek, 0, 0, SEEK_CUR), call(SYS_socket, 2, 1, 0), call(SYS_getppid, 0, 0, 0),
        };
        CHECK(torov_submit(calls, 4) == 4);
        CHECK(calls[0].result == 1 && calls[3].result == 1);
        CHECK(calls[1].result == -EPERM && calls[2].result == -EPERM);
    }
}

#define FLAGS 0x8d5

// What a call leaves of the arithmetic flags. The program's own stack is far above.
#define CALL_WITH(flags, number, result) ({ \
    uint64_t kept; \
    __asm__ volatile("sub $256, %%rsp\n\tpush %3\n\tpopfq\n\tmov %4, %%eax\n\tsyscall\n\tpushfq\n\tpop %1\n\tadd $256, %%rsp" \
                     : "=&a"(result), "=&r"(kept) : "D"(1000ul), "r"((uint64_t)(flags)), "i"(number), "S"(0ul), "d"(0ul) \
                     : "rcx", "r11", "memory", "cc"); \
    kept & FLAGS; \
})

static volatile sig_atomic_t alarms;

static void tick(int signal) {
    (void)signal;
    CHECK(lseek(1000, 0, SEEK_CUR) == -1 && errno == EBADF);
    alarms++;
}

// Calls keep their results and the flags, wherever in them signals come.
static void kept(long rounds) {
    struct sigaction action = { .sa_handler = tick, .sa_flags = SA_RESTART };
    struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = { { 0, 0 }, { 0, 0 } };
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
    for (long at = 0; at < rounds || alarms < 10; at++) {
        // Each of the six by a bit of the round.
        uint64_t flags = 0, masks[] = { 1, 4, 16, 64, 128, 0x800 };
        for (int bit = 0; bit < 6; bit++) flags |= at >> bit & 1 ? masks[bit] : 0;
        int64_t result;
        CHECK(CALL_WITH(flags | 0x202, SYS_lseek, result) == flags);
        CHECK(result == -EBADF);
        CHECK(CALL_WITH(flags | 0x202, SYS_getppid, result) == flags);
        CHECK(result == getppid());
        CHECK(CALL_WITH(flags | 0x202, SYS_gettid, result) == flags);
        CHECK(result == gettid());
    }
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

#define ROUNDS 20000
static double took[ROUNDS];

static void say(const char *what) {
    qsort(took, ROUNDS, sizeof *took, by_size);
    printf("%-28s %9.0f %9.0f %9.0f\n", what, took[ROUNDS / 2], took[ROUNDS * 99 / 100], took[0]);
}

// How long a call takes, in nanoseconds: alone, and in batches.
static void cost(void) {
    static struct torov_call calls[64];
    int null = open("/dev/null", O_WRONLY);
    CHECK(null >= 0);
    printf("%-28s %9s %9s %9s   of %d, ns\n", "", "median", "p99", "least", ROUNDS);
    for (int at = 0; at < ROUNDS; at++) {
        long long start = now();
        CHECK(write(null, "x", 1) == 1);
        took[at] = (double)(now() - start);
    }
    say("write");
    for (int size = 4; size <= 64; size *= 4) {
        for (int next = 0; next < size; next++) calls[next] = call(SYS_write, (uint64_t)null, word("x"), 1);
        for (int at = 0; at < ROUNDS; at++) {
            long long start = now();
            CHECK(torov_submit(calls, (uint64_t)size) == (uint64_t)size);
            took[at] = (double)(now() - start) / size;
        }
        char name[40];
        snprintf(name, sizeof name, "write, one of a batch of %d", size);
        say(name);
    }
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "cost";
    long number = argc > 2 ? atol(argv[2]) : 1600;
    if (!strcmp(what, "bytes")) bytes(number);
    if (!strcmp(what, "cost")) cost();
    if (!strcmp(what, "denied")) denied();
    if (!strcmp(what, "kept")) kept(number);
    if (!strcmp(what, "edges")) {
        mixed();
        edges();
        interrupted();
    }
    if (strcmp(what, "cost")) puts("ok");
    return 0;
}
