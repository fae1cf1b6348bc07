// Writes files in batches, and says what each call answered and what is in the files then: the same on Linux, where the calls are made
// one by one. Its argument is a folder, in which it may write.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "../include/torov.h"

#define SIZE 16

static char bytes[200000];
static struct torov_call calls[64];
static uint64_t count;

static uint64_t word(const void *pointer) { return (uint64_t)(uintptr_t)pointer; }

static void call(long number, int fd, uint64_t a, uint64_t b, uint64_t c) {
    calls[count++] = (struct torov_call){ (uint64_t)number, { (uint64_t)fd, a, b, c }, 77 };
}

static void put(int fd, long from, uint64_t len) { call(SYS_write, fd, word(bytes + from), len, 0); }

static int opened(const char *folder, const char *name, int flags) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, flags, 0600);
    if (fd < 0) {
        perror(path);
        exit(1);
    }
    return fd;
}

// Makes the calls and prints their results.
static void submit(const char *what) {
    uint64_t made = torov_submit(calls, count);
    printf("%s: %lu of %lu:", what, (unsigned long)made, (unsigned long)count);
    for (uint64_t at = 0; at < count; at++) printf(" %ld", (long)calls[at].result);
    puts("");
    count = 0;
}

// Prints how long a file is, and a sum of what it holds in its order.
static void show(const char *what, int fd) {
    unsigned char piece[4096];
    unsigned long sum = 5381, len = 0;
    ssize_t got;
    for (off_t at = 0; (got = pread(fd, piece, sizeof piece, at)) > 0; at += got) {
        for (ssize_t next = 0; next < got; next++) sum = sum * 33 + piece[next];
        len += (unsigned long)got;
    }
    printf("%s: %lu bytes, %lx, next at %ld\n", what, len, sum, (long)lseek(fd, 0, SEEK_CUR));
}

// What the host has no more room for: the first writes have it, one has a part, the others fail.
static void cut(const char *folder) {
    int fd = opened(folder, "cut", O_RDWR | O_CREAT | O_TRUNC);
    for (int at = 0; at < SIZE; at++) put(fd, 1000 * at, 1000);
    submit("cut short");
    show("cut short", fd);
    put(fd, 0, 1), put(fd, 0, 1), call(SYS_lseek, fd, 0, SEEK_SET, 0), put(fd, 7, 1), put(fd, 8, 1);
    submit("no room");
    show("no room", fd);
}

// More than the profile allows to be written, in one batch.
static void much(const char *folder) {
    int fd = opened(folder, "much", O_RDWR | O_CREAT | O_TRUNC);
    for (int at = 0; at < SIZE; at++) put(fd, 100 * at, 100);
    submit("much");
}

static void plain(const char *folder) {
    int one = opened(folder, "one", O_RDWR | O_CREAT | O_TRUNC), two = opened(folder, "two", O_RDWR | O_CREAT | O_TRUNC);
    for (int at = 0; at < 64; at++) put(one, 37 * at, 1 + (uint64_t)at * 5 % 40);
    submit("sixty-four");
    for (int at = 0; at < SIZE; at++) put(at % 5 < 3 ? one : two, at, 3);
    submit("two files");
    for (int at = 0; at < SIZE; at++) put(one, at, at % 4 == 1 ? 0 : 2);
    submit("nothing between");
    for (int at = 0; at < SIZE; at++) at % 6 == 4 ? call(SYS_write, one, 8, 5, 0) : put(one, at, 2);
    submit("nowhere between");
    for (int at = 0; at < 4; at++) call(SYS_write, one, 8, 5, 0);
    submit("only nowhere");
    for (int at = 0; at < 12; at++) at % 4 == 3 ? call(SYS_lseek, one, (uint64_t)at, SEEK_SET, 0) : put(one, 50 * at, 50);
    submit("back");
    for (int at = 0; at < 12; at++) at % 4 == 3 ? call(SYS_pwrite64, one, word("pw"), 2, 5) : put(one, 9 * at, 9);
    submit("elsewhere between");
    // Together more than is written at once, and one that is so alone.
    for (int at = 0; at < 8; at++) put(two, at, at == 5 ? 150000 : 20000);
    submit("long");
    put(one, 0, 4), put(one, 4, 4), call(SYS_close, one, 0, 0, 0), put(one, 8, 4), put(one, 12, 4);
    int kept = dup(one);
    submit("closed");
    show("one", kept);
    show("two", two);
    int reads = opened(folder, "two", O_RDONLY), appends = opened(folder, "two", O_WRONLY | O_APPEND);
    for (int at = 0; at < 4; at++) put(reads, at, 2);
    submit("only to be read");
    for (int at = 0; at < 6; at++) put(at % 3 < 2 ? appends : two, at * 10, 10);
    submit("appended");
    show("two", two);
}

// An end of a pipe that does not wait takes whole writes until it is full.
static void pipes(void) {
    int ends[2];
    if (pipe2(ends, O_NONBLOCK) != 0) exit(1);
    for (int at = 0; at < 32; at++) put(ends[1], at, 4000);
    submit("full pipe");
    long got, all = 0;
    unsigned long sum = 5381;
    static unsigned char piece[4096];
    while ((got = read(ends[0], piece, sizeof piece)) > 0) {
        for (long next = 0; next < got; next++) sum = sum * 33 + piece[next];
        all += got;
    }
    printf("full pipe: %ld bytes, %lx\n", all, sum);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    for (unsigned long at = 0, next = 1; at < sizeof bytes; at++) {
        next = next * 6364136223846793005ul + 1442695040888963407ul;
        bytes[at] = (char)(next >> 56);
    }
    if (!strcmp(argv[1], "cut")) cut(argv[2]);
    if (!strcmp(argv[1], "much")) much(argv[2]);
    if (!strcmp(argv[1], "plain")) {
        // More than once: sites are patched at their second call.
        for (int round = 0; round < 4; round++) plain(argv[2]);
        pipes();
    }
    return 0;
}
