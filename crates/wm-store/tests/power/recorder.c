/* Records what a process does to the files below one directory, in order, for power cuts to be
 * simulated from. Preloaded into the process; POWER_ROOT names the directory, POWER_LOG the log.
 *
 * A record is: kind (1 byte), file (8, inode number), offset (8), length (8), that many bytes.
 *   C file created, bytes = path      R renamed, bytes = old path, 0, new path
 *   U unlinked, bytes = path          D directory created, bytes = path
 *   W written at offset               T truncated or extended to offset
 *   S sync begins                     E sync ended; both have the sync's number as offset; the file
 *                                     may be a directory
 *
 * Writes happen under one lock, so the log has them in the order the file system had them. A sync
 * covers what was recorded before its S, and nothing is sure of it before its E. sync_file_range
 * makes nothing durable and is not recorded. The disk is not asked to sync anything: what would be
 * durable follows from the record, and others get their time to go on in between. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static int log_fd = -1;
static uint64_t inodes[FDS]; /* of the files below the root that are open; else 0 */
static uint64_t syncs;

#define REAL(name) ((typeof(&name))real(#name))

static void *real(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (!function) abort();
    return function;
}

__attribute__((constructor)) static void start(void) {
    const char *directory = getenv("POWER_ROOT"), *path = getenv("POWER_LOG");
    if (!directory || !path || !realpath(directory, root)) return;
    log_fd = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void put(const void *bytes, size_t length) {
    const char *at = bytes;
    while (length > 0) {
        ssize_t written = REAL(write)(log_fd, at, length);
        if (written < 0) abort();
        at += written;
        length -= written;
    }
}

static void record(char kind, uint64_t file, uint64_t offset, const void *bytes, uint64_t length) {
    char head[25] = {kind};
    memcpy(head + 1, &file, 8);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &length, 8);
    put(head, sizeof head);
    put(bytes, length);
}

/* The path below the root, or NULL. */
static const char *below(const char *path, char *buffer) {
    if (log_fd < 0) return NULL;
    if (path[0] == '/') {
        snprintf(buffer, PATH_MAX, "%s", path);
    } else {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here)) return NULL;
        if (snprintf(buffer, PATH_MAX, "%s/%s", here, path) >= PATH_MAX) return NULL;
    }
    size_t length = strlen(root);
    if (strncmp(buffer, root, length) != 0) return NULL;
    if (buffer[length] == 0) return buffer + length;
    return buffer[length] == '/' ? buffer + length + 1 : NULL;
}

static uint64_t inode_of(int fd) {
    struct stat status;
    int known = fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
    return known ? status.st_ino : 0;
}

static uint64_t recorded(int fd) {
    return log_fd >= 0 && fd >= 0 && fd < FDS ? inodes[fd] : 0;
}

static int opened(int fd, const char *name, int flags, int existed) {
    if (fd < 0 || fd >= FDS || !name) return fd;
    inodes[fd] = inode_of(fd);
    if (inodes[fd] && !existed) record('C', inodes[fd], 0, name, strlen(name));
    if (inodes[fd] && existed && (flags & O_TRUNC)) record('T', inodes[fd], 0, "", 0);
    return fd;
}

#define OPEN(function, call, ...)                                                                  \
    {                                                                                              \
        mode_t mode = 0;                                                                           \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                       \
            va_list rest;                                                                          \
            va_start(rest, flags);                                                                 \
            mode = va_arg(rest, mode_t);                                                           \
            va_end(rest);                                                                          \
        }                                                                                          \
        char buffer[PATH_MAX];                                                                     \
        const char *name = below(path, buffer);                                                    \
        if (!name) return call;                                                                    \
        pthread_mutex_lock(&lock);                                                                 \
        int existed = access(path, F_OK) == 0;                                                     \
        int fd = opened(call, name, flags, existed), error = errno;                                \
        pthread_mutex_unlock(&lock);                                                               \
        errno = error;                                                                             \
        return fd;                                                                                 \
    }

int open(const char *path, int flags, ...) OPEN(open, REAL(open)(path, flags, mode))
int open64(const char *path, int flags, ...) OPEN(open64, REAL(open64)(path, flags, mode))
int openat(int at, const char *path, int flags, ...) OPEN(openat, REAL(openat)(at, path, flags, mode))
int openat64(int at, const char *path, int flags, ...)
    OPEN(openat64, REAL(openat64)(at, path, flags, mode))

int close(int fd) {
    if (log_fd >= 0 && fd >= 0 && fd < FDS) inodes[fd] = 0;
    return REAL(close)(fd);
}

static ssize_t written(uint64_t file, ssize_t result, off_t end, const void *bytes) {
    if (result > 0) record('W', file, end - result, bytes, result);
    return result;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    uint64_t file = recorded(fd);
    if (!file) return REAL(write)(fd, bytes, length);
    pthread_mutex_lock(&lock);
    ssize_t result = REAL(write)(fd, bytes, length);
    written(file, result, lseek(fd, 0, SEEK_CUR), bytes);
    pthread_mutex_unlock(&lock);
    return result;
}

#define PWRITE(function)                                                                           \
    {                                                                                              \
        uint64_t file = recorded(fd);                                                              \
        if (!file) return REAL(function)(fd, bytes, length, offset);                               \
        pthread_mutex_lock(&lock);                                                                 \
        ssize_t result = REAL(function)(fd, bytes, length, offset);                                \
        written(file, result, offset + result, bytes);                                             \
        pthread_mutex_unlock(&lock);                                                               \
        return result;                                                                             \
    }

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) PWRITE(pwrite)
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) PWRITE(pwrite64)

/* Not expected of an engine; a recording without them would be wrong. */
ssize_t writev(int fd, const struct iovec *pieces, int count) {
    if (recorded(fd)) abort();
    return REAL(writev)(fd, pieces, count);
}

#define TRUNCATE(function)                                                                         \
    {                                                                                              \
        uint64_t file = recorded(fd);                                                              \
        if (!file) return REAL(function)(fd, length);                                              \
        pthread_mutex_lock(&lock);                                                                 \
        int result = REAL(function)(fd, length);                                                   \
        if (result == 0) record('T', file, length, "", 0);                                         \
        pthread_mutex_unlock(&lock);                                                               \
        return result;                                                                             \
    }

int ftruncate(int fd, off_t length) TRUNCATE(ftruncate)
int ftruncate64(int fd, off64_t length) TRUNCATE(ftruncate64)

#define SYNC(function)                                                                             \
    {                                                                                              \
        uint64_t file = recorded(fd);                                                              \
        if (!file) return REAL(function)(fd);                                                      \
        pthread_mutex_lock(&lock);                                                                 \
        uint64_t number = ++syncs;                                                                 \
        record('S', file, number, "", 0);                                                          \
        pthread_mutex_unlock(&lock);                                                               \
        usleep(50);                                                                                \
        pthread_mutex_lock(&lock);                                                                 \
        record('E', file, number, "", 0);                                                          \
        pthread_mutex_unlock(&lock);                                                               \
        return 0;                                                                                  \
    }

int fsync(int fd) SYNC(fsync)
int fdatasync(int fd) SYNC(fdatasync)

int rename(const char *from, const char *to) {
    char from_buffer[PATH_MAX], to_buffer[PATH_MAX], both[2 * PATH_MAX];
    const char *old = below(from, from_buffer), *new = below(to, to_buffer);
    if (!old || !new) return REAL(rename)(from, to);
    pthread_mutex_lock(&lock);
    int result = REAL(rename)(from, to);
    if (result == 0) {
        int length = snprintf(both, sizeof both, "%s%c%s", old, 0, new);
        record('R', 0, 0, both, length);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path) {
    char buffer[PATH_MAX];
    const char *name = below(path, buffer);
    if (!name) return REAL(unlink)(path);
    pthread_mutex_lock(&lock);
    int result = REAL(unlink)(path);
    if (result == 0) record('U', 0, 0, name, strlen(name));
    pthread_mutex_unlock(&lock);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    char buffer[PATH_MAX];
    const char *name = below(path, buffer);
    if (!name) return REAL(mkdir)(path, mode);
    pthread_mutex_lock(&lock);
    int result = REAL(mkdir)(path, mode);
    if (result == 0) record('D', 0, 0, name, strlen(name));
    pthread_mutex_unlock(&lock);
    return result;
}
