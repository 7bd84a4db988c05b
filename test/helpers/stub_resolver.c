/* Resolver that finds no host. Each name that a program looks up becomes a line of the file $LOOKUPS.
   It takes the place of the functions of the C library through LD_PRELOAD. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_remote(const char *name) {
    unsigned char address[16];
    char own[256] = "";
    gethostname(own, sizeof own - 1);
    return name && inet_pton(AF_INET, name, address) != 1 && inet_pton(AF_INET6, name, address) != 1 &&
           strcmp(name, "localhost") != 0 && strcmp(name, own) != 0;
}

static void note(const char *name) {
    char line[512];
    const char *path = getenv("LOOKUPS");
    int size = snprintf(line, sizeof line, "%s\n", name);
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (file >= 0) {
        if (write(file, line, size < (int)sizeof line ? size : (int)sizeof line) < 0)
            abort();
        close(file);
    }
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    if (!is_remote(name))
        return real(name, service, hints, found);
    note(name);
    return EAI_NONAME;
}

struct hostent *gethostbyname(const char *name) {
    struct hostent *(*real)(const char *) = dlsym(RTLD_NEXT, "gethostbyname");
    if (!is_remote(name))
        return real(name);
    note(name);
    h_errno = HOST_NOT_FOUND;
    return NULL;
}

int gethostbyname_r(const char *name, struct hostent *entry, char *buffer, size_t size, struct hostent **found,
                    int *error) {
    int (*real)(const char *, struct hostent *, char *, size_t, struct hostent **, int *) =
        dlsym(RTLD_NEXT, "gethostbyname_r");
    if (!is_remote(name))
        return real(name, entry, buffer, size, found, error);
    note(name);
    *found = NULL;
    *error = HOST_NOT_FOUND;
    return 0;
}
