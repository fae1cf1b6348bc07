/* The leanest web server that Linux can have: one thread, one epoll set, one page that is ready in memory. A request is two
 * system calls, besides its share of `epoll_wait`. It answers what ends in an empty line and looks at nothing else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAGE = 612, BATCH = 32, MOST_FILES = 65536 };

/* The reply, as often as requests may be answered at a time. */
static char replies[BATCH * 1024];
static size_t reply_len;
/* How much of CR LF CR LF each connection has sent last. */
static unsigned char matched[MOST_FILES];

static void prepare(void)
{
    int head = sprintf(replies, "HTTP/1.1 200 OK\r\nServer: epoll\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n", PAGE);
    memset(replies + head, 'x', PAGE);
    reply_len = head + PAGE;
    for (int i = 1; i < BATCH; i++)
        memcpy(replies + i * reply_len, replies, reply_len);
}

/* Counts the requests that end in `len` bytes of connection `fd`. */
static unsigned requests(int fd, const char *bytes, ssize_t len)
{
    unsigned count = 0;
    unsigned char seen = matched[fd];
    for (ssize_t i = 0; i < len; i++) {
        char wanted = seen & 1 ? '\n' : '\r';
        seen = bytes[i] == wanted ? seen + 1 : bytes[i] == '\r';
        if (seen == 4)
            count++, seen = 0;
    }
    matched[fd] = seen;
    return count;
}

static void accept_all(int set, int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MOST_FILES) {
            close(fd);
            continue;
        }
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        matched[fd] = 0;
        epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    }
}

static void answer(int fd)
{
    static char input[16384];
    ssize_t len = read(fd, input, sizeof input);
    if (len <= 0) {
        if (len == 0 || errno != EAGAIN)
            close(fd);
        return;
    }
    for (unsigned left = requests(fd, input, len); left;) {
        unsigned now = left < BATCH ? left : BATCH;
        if (write(fd, replies, now * reply_len) != (ssize_t)(now * reply_len)) {
            close(fd);
            return;
        }
        left -= now;
    }
}

int main(void)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), set = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[128];
    prepare();
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)
        || epoll_ctl(set, EPOLL_CTL_ADD, listener, &event)) {
        perror("epoll");
        return 1;
    }
    for (;;) {
        int count = epoll_wait(set, events, 128, -1);
        for (int i = 0; i < count; i++)
            if (events[i].data.fd == listener)
                accept_all(set, listener);
            else
                answer(events[i].data.fd);
    }
}
