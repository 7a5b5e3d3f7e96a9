/* Fails one call of the C library, or sends a signal at it: the first for a path with a certain text.
 *
 * FAULT_CALL    write, fsync, rename, link, open or mkdir
 * FAULT_PATH    the text
 * FAULT_ERRNO   the number of the error; or
 * FAULT_SIGNAL  the number of a signal that the process sends itself before the call
 *
 * Use: cc -shared -fPIC -o shim.so shim.c, then LD_PRELOAD=shim.so.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* Whether this call is the one to fail. */
static int strikes(const char *call, const char *path) {
    static int struck = 0;
    const char *wanted = getenv("FAULT_CALL"), *part = getenv("FAULT_PATH");
    const char *number = getenv("FAULT_SIGNAL");
    if (!wanted || !part || !path || strcmp(call, wanted) || !strstr(path, part)) return 0;
    if (struck++) return 0;
    if (number) {
        kill(getpid(), atoi(number));
        return 0;
    }
    errno = atoi(getenv("FAULT_ERRNO"));
    return 1;
}

/* The path behind a file descriptor. */
static const char *path_of(int descriptor) {
    static __thread char path[PATH_MAX];
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (length < 0) return NULL;
    path[length] = 0;
    return path;
}

#define NEXT(name) __typeof__(name) *next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int descriptor, const void *bytes, size_t count) {
    NEXT(write);
    return strikes("write", path_of(descriptor)) ? -1 : next(descriptor, bytes, count);
}

size_t fwrite(const void *bytes, size_t size, size_t count, FILE *stream) {
    NEXT(fwrite);
    return strikes("write", path_of(fileno(stream))) ? 0 : next(bytes, size, count, stream);
}

int fsync(int descriptor) {
    NEXT(fsync);
    return strikes("fsync", path_of(descriptor)) ? -1 : next(descriptor);
}

int rename(const char *from, const char *to) {
    NEXT(rename);
    return strikes("rename", to) ? -1 : next(from, to);
}

int link(const char *from, const char *to) {
    NEXT(link);
    return strikes("link", to) ? -1 : next(from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    NEXT(linkat);
    return strikes("link", to) ? -1 : next(from_folder, from, to_folder, to, flags);
}

int mkdir(const char *path, mode_t mode) {
    NEXT(mkdir);
    return strikes("mkdir", path) ? -1 : next(path, mode);
}

int open64(const char *path, int flags, ...) {
    NEXT(open64);
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return strikes("open", path) ? -1 : next(path, flags, mode);
}
