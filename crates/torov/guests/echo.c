// Sends back what it gets, one connection after the other: the original's Echo. The port is the first argument.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    static char bytes[4096];
    int on = 1, server = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_port = htons(argc > 1 ? atoi(argv[1]) : 50000);
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (server < 0 || bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 16) ||
        getsockname(server, (struct sockaddr *)&address, &len)) {
        perror("listening");
        return 1;
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int client = accept(server, NULL, NULL);
        ssize_t got;
        if (client < 0) {
            perror("accept");
            return 1;
        }
        while ((got = recv(client, bytes, sizeof bytes, 0)) > 0) {
            for (ssize_t sent = 0; sent < got;) {
                ssize_t now = send(client, bytes + sent, got - sent, 0);
                if (now <= 0) {
                    got = 0;
                    break;
                }
                sent += now;
            }
        }
        close(client);
    }
}
