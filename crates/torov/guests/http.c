// Serves the files below /www over HTTP/1.1, one thread for each connection. The port is the first argument.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int send_all(int client, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t sent = send(client, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0) return -1;
        bytes += sent;
        len -= sent;
    }
    return 0;
}

static int answer(int client, const char *path) {
    char head[256], name[512], piece[4096];
    struct stat status;
    ssize_t got;
    snprintf(name, sizeof name, "/www%s%s", path, path[strlen(path) - 1] == '/' ? "index.html" : "");
    int file = open(name, O_RDONLY);
    if (file < 0 || fstat(file, &status) || !S_ISREG(status.st_mode)) {
        static const char none[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\nNot found\n";
        if (file >= 0) close(file);
        return send_all(client, none, sizeof none - 1);
    }
    int len = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n\r\n", (long long)status.st_size);
    int failed = send_all(client, head, len);
    while (!failed && (got = read(file, piece, sizeof piece)) > 0) failed = send_all(client, piece, got);
    close(file);
    return failed;
}

static void *serve(void *argument) {
    int client = (int)(intptr_t)argument;
    char request[4096];
    size_t len = 0;
    for (;;) {
        ssize_t got = recv(client, request + len, sizeof request - 1 - len, 0);
        char *end, path[256];
        if (got <= 0) break;
        len += got;
        request[len] = 0;
        while ((end = strstr(request, "\r\n\r\n"))) {
            if (sscanf(request, "GET %255s HTTP/1.", path) != 1 || path[0] != '/' || answer(client, path)) goto out;
            len -= end + 4 - request;
            memmove(request, end + 4, len + 1);
        }
        if (len == sizeof request - 1) break;
    }
out:
    close(client);
    return NULL;
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int on = 1, server = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_port = htons(argc > 1 ? atoi(argv[1]) : 8081);
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (server < 0 || bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 64) ||
        getsockname(server, (struct sockaddr *)&address, &len)) {
        perror("listening");
        return 1;
    }
    printf("listening on http://127.0.0.1:%d/\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        pthread_t thread;
        int client = accept(server, NULL, NULL);
        if (client < 0) continue;
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)client)) {
            close(client);
            continue;
        }
        pthread_detach(thread);
    }
}
