/* The server of `bench devices` and `bench files` in the Linux guest. It does what appliances/bench-io does, by the same
 * commands, one client at a time: over TCP and over vsock, both at port 7000. io.rs tells what the commands are.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define PORT 7000
#define BUFFER (1 << 20)
#define MOST_IN_FLIGHT 64

static char *buffer;
/* What went wrong in the command at hand. */
static char trouble[160];

static int failed(const char *what)
{
    snprintf(trouble, sizeof trouble, "%s: %s", what, strerror(errno));
    return -1;
}

static int write_all(int file, const char *bytes, size_t len)
{
    while (len) {
        ssize_t done = write(file, bytes, len);
        if (done <= 0)
            return failed("write");
        bytes += done, len -= done;
    }
    return 0;
}

static int read_all(int file, char *bytes, size_t len)
{
    while (len) {
        ssize_t done = read(file, bytes, len);
        if (done <= 0)
            return failed("read");
        bytes += done, len -= done;
    }
    return 0;
}

static int send_many(int client, size_t len, long count)
{
    for (long i = 0; i < count; i++)
        if (write_all(client, buffer, len))
            return -1;
    return 0;
}

static int receive(int client, size_t len, long count)
{
    for (uint64_t left = (uint64_t)len * count; left;) {
        ssize_t done = read(client, buffer, 65536);
        if (done <= 0)
            return failed("read");
        left -= done;
    }
    return 0;
}

static int echo(int client, size_t len, long count)
{
    for (long i = 0; i < count; i++)
        if (read_all(client, buffer, len) || write_all(client, buffer, len))
            return -1;
    return 0;
}

/* Where the pieces of a file or disk lie, one after the other or anywhere; the same on both sides. */
struct places { uint64_t state, pieces, next; int random; size_t len; };

static uint64_t place(struct places *places)
{
    uint64_t piece = places->next++;
    if (places->random) {
        places->state ^= places->state << 13, places->state ^= places->state >> 7, places->state ^= places->state << 17;
        piece = places->state;
    }
    return piece % places->pieces * places->len;
}

static struct places places_in(uint64_t span, size_t len, const char *order)
{
    return (struct places){.state = 88172645463325252ull, .pieces = span / len, .random = *order == 'r', .len = len};
}

/* Requests to the first disk, past the cache of pages, so many in flight. */
static int disk(const char *what, size_t len, long depth, long count, const char *order)
{
    int is_write = *what == 'w', file = open("/dev/vda", (is_write ? O_RDWR : O_RDONLY) | O_DIRECT);
    off_t size = file < 0 ? -1 : lseek(file, 0, SEEK_END);
    aio_context_t context = 0;
    static struct iocb blocks[MOST_IN_FLIGHT], *ready[MOST_IN_FLIGHT];
    struct io_event events[MOST_IN_FLIGHT];
    if (size <= 0 || syscall(SYS_io_setup, MOST_IN_FLIGHT, &context) < 0)
        return failed("/dev/vda");
    struct places places = places_in(size, len, order);
    char *data;
    if (depth > MOST_IN_FLIGHT || posix_memalign((void **)&data, 4096, depth * len))
        return failed("memory");
    memset(data, 7, depth * len);
    long idle = depth, started = 0, ended = 0, outcome = 0;
    for (long i = 0; i < depth; i++) {
        ready[i] = &blocks[i];
        blocks[i] = (struct iocb){.aio_fildes = file, .aio_lio_opcode = is_write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
                                  .aio_buf = (uintptr_t)(data + i * len), .aio_nbytes = len};
    }
    while (ended < count) {
        long new = idle < count - started ? idle : count - started;
        for (long i = 0; i < new; i++)
            ready[i]->aio_offset = place(&places);
        if (new && syscall(SYS_io_submit, context, new, ready) != new) {
            outcome = failed("io_submit");
            break;
        }
        started += new;
        long got = syscall(SYS_io_getevents, context, 1, MOST_IN_FLIGHT, events, NULL);
        for (idle = 0; idle < got; idle++) {
            ready[idle] = (struct iocb *)(uintptr_t)events[idle].obj;
            if (events[idle].res != (long long)len)
                errno = EIO, outcome = failed("a request");
        }
        ended += got;
    }
    syscall(SYS_io_destroy, context);
    close(file);
    free(data);
    return outcome;
}

static int read_file(const char *path, size_t len, long count, uint64_t span, const char *order)
{
    int file = open(path, O_RDONLY);
    struct places places = places_in(span, len, order);
    for (long i = 0; i < count; i++)
        if (pread(file, buffer, len, place(&places)) != (ssize_t)len)
            return close(file), failed(path);
    close(file);
    return 0;
}

static int write_file(const char *path, size_t len, long count, uint64_t span, const char *order)
{
    int file = open(path, O_WRONLY | O_CREAT, 0644);
    struct places places = places_in(span, len, order);
    for (long i = 0; i < count; i++)
        if (pwrite(file, buffer, len, place(&places)) != (ssize_t)len)
            return close(file), failed(path);
    int outcome = fdatasync(file);
    close(file);
    return outcome ? failed("fdatasync") : 0;
}

/* Opens, reads and closes small files. */
static int open_files(const char *folder, long files, long count)
{
    char path[128];
    for (long i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%04ld", folder, i % files);
        int file = open(path, O_RDONLY);
        if (file < 0 || read(file, buffer, 4096) <= 0)
            return close(file), failed(path);
        close(file);
    }
    return 0;
}

static int make_files(const char *folder, long files, size_t len)
{
    char path[128];
    mkdir(folder, 0755);
    for (long i = 0; i < files; i++) {
        snprintf(path, sizeof path, "%s/%04ld", folder, i);
        int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (file < 0 || write_all(file, buffer, len))
            return close(file), failed(path);
        close(file);
    }
    return 0;
}

static int forget_pages(void)
{
    sync();
    int file = open("/proc/sys/vm/drop_caches", O_WRONLY);
    int outcome = file < 0 ? -1 : write_all(file, "3", 1);
    close(file);
    return outcome ? failed("drop_caches") : 0;
}

static int obey(int client, char *line)
{
    char text[64] = "", what[16] = "", order[16] = "";
    long len = 0, depth = 0, count = 0, files = 0;
    unsigned long long span = 0;
    if (sscanf(line, "send %ld %ld", &len, &count) == 2)
        return send_many(client, len, count);
    if (sscanf(line, "receive %ld %ld", &len, &count) == 2)
        return receive(client, len, count);
    if (sscanf(line, "echo %ld %ld", &len, &count) == 2)
        return echo(client, len, count);
    if (sscanf(line, "disk %15s %ld %ld %ld %15s", what, &len, &depth, &count, order) == 5)
        return disk(what, len, depth, count, order);
    if (sscanf(line, "read %63s %ld %ld %llu %15s", text, &len, &count, &span, order) == 5)
        return read_file(text, len, count, span, order);
    if (sscanf(line, "write %63s %ld %ld %llu %15s", text, &len, &count, &span, order) == 5)
        return write_file(text, len, count, span, order);
    if (sscanf(line, "opens %63s %ld %ld", text, &files, &count) == 3)
        return open_files(text, files, count);
    if (sscanf(line, "fill %63s %ld %ld", text, &files, &len) == 3)
        return make_files(text, files, len);
    if (sscanf(line, "remove %63s", text) == 1)
        return unlink(text) && errno != ENOENT ? failed(text) : 0;
    if (!strncmp(line, "cold ", 5))
        return forget_pages();
    if (!strcmp(line, "ping"))
        return 0;
    snprintf(trouble, sizeof trouble, "unknown command");
    return -1;
}

static void serve(int client, int is_tcp)
{
    char line[256];
    size_t len = 0;
    /* A client that was only looking whether we are there says nothing. */
    struct timeval patience = {.tv_sec = 30};
    int on = 1;
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (is_tcp)
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    while (len < sizeof line && read(client, line + len, 1) == 1 && line[len] != '\n')
        len++;
    if (len == 0 || len == sizeof line)
        return;
    line[len] = 0;
    if (obey(client, line))
        dprintf(client, "error: %s\n", trouble);
    else
        write_all(client, "done\n", 5);
}

static int listen_at(int family, const void *address, socklen_t len)
{
    int on = 1, listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0)
        return -1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, address, len) || listen(listener, 64)) {
        close(listener);
        return -1;
    }
    return listener;
}

int main(void)
{
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct sockaddr_vm vm = {.svm_family = AF_VSOCK, .svm_port = PORT, .svm_cid = VMADDR_CID_ANY};
    struct pollfd listeners[2] = {
        {.fd = listen_at(AF_INET, &inet, sizeof inet), .events = POLLIN},
        {.fd = listen_at(AF_VSOCK, &vm, sizeof vm), .events = POLLIN},
    };
    if (posix_memalign((void **)&buffer, 4096, BUFFER))
        return 1;
    memset(buffer, 'x', BUFFER);
    signal(SIGPIPE, SIG_IGN);
    while (poll(listeners, 2, -1) > 0)
        for (int i = 0; i < 2; i++) {
            int client = listeners[i].revents ? accept(listeners[i].fd, NULL, NULL) : -1;
            if (client < 0)
                continue;
            serve(client, i == 0);
            close(client);
        }
    return 1;
}
