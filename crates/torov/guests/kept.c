// A program to keep and to go on with: it answers pairs of bytes by what it has in all kinds of places. With an address it
// serves one connection there instead.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define LEN (256 << 10)

static volatile int handled;
static __thread int own = 7;

static void handle(int signal) { handled += signal; }

static char *area(size_t len) {
    char *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        abort();
    return at;
}

// Memory that was given back and is new again holds nothing of before.
static int is_clear(const char *at, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (at[i])
            return 0;
    return 1;
}

static int serve(const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(text)};
    socklen_t len = sizeof address;
    int server = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server, (struct sockaddr *)&address, len) || listen(server, 4) ||
        getsockname(server, (struct sockaddr *)&address, &len))
        return 1;
    dprintf(1, "listening on %s:%d\n", text, ntohs(address.sin_port));
    int client = accept(server, NULL, NULL);
    return client < 0 || send(client, "kept", 4, 0) != 4;
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    if (strncmp(mode, "127.", 4) == 0)
        return serve(mode);
    int file = open("/data/log", O_RDWR | O_CREAT, 0644);
    if (file >= 0) {
        dup2(file, 9);
        if (write(file, "start", 5) != 5)
            return 1;
    }
    signal(SIGUSR1, handle);
    double product = 1.5;
    char *filled = area(LEN), *heap = malloc(100000), pair[2];
    memset(filled, 0x5a, LEN);
    memset(heap, 1, 100000);
    for (int round = 1; read(0, pair, 2) == 2; round++) {
        product *= 1.25;
        own++;
        raise(SIGUSR1);
        long sum = 0;
        for (int i = 0; i < 100000; i++)
            sum += heap[i]++;
        char *more = malloc(200000);
        memset(more, round, 200000);
        int clear = 1;
        if (round >= 2) {
            madvise(filled, LEN / 2, MADV_DONTNEED);
            clear = is_clear(filled, LEN / 2) && (round > 2 || filled[LEN - 1] == 0x5a);
            munmap(filled, LEN);
            filled = area(2 * LEN);
            clear = clear && is_clear(filled, 2 * LEN);
            memset(filled, 0x5a, 2 * LEN);
        }
        long offset = file < 0 ? -1 : write(9, pair, 1) == 1 ? lseek(file, 0, SEEK_CUR) : -2;
        dprintf(1, "%d %c %.6f %ld %d %d %d %ld\n", round, pair[0], product, sum, handled, own, clear, offset);
    }
    return 3;
}
