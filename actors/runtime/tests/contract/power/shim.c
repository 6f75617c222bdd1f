/*
 * Built and used by recording.rs beside it.
 *
 * Writes down everything a process does to the files below one directory, in the order it happened.
 *
 * Loaded by LD_PRELOAD into a child of the test. POWER_ROOT names the directory (absolute, resolved),
 * POWER_LOG the file for the record. The operations are carried out as usual; each that succeeds is
 * appended to the record under one lock, so that the record has an order that the disk could have seen.
 *
 * An entry: kind (1 byte), inode, offset (8 bytes each), length of path, length of data (4 bytes each),
 * path, data; numbers are little-endian. What this shim cannot describe ends the process, so that a
 * record is complete or missing. System calls made without libc are not seen; a file that grows by
 * one (fallocate) is noticed by its size at the next sync.
 */
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
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind {
    CREATE = 'c', /* path has this inode now */
    WRITE = 'w',  /* data at offset */
    RESIZE = 't', /* offset is the new size */
    SYNC = 's',   /* fsync; offset is the size, path the present name */
    SYNC_DATA = 'd',
    SYNC_RANGE = 'r',
    RENAME = 'm', /* data is the new path */
    UNLINK = 'u',
    MKDIR = 'k',
    RMDIR = 'x',
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_len;
static int log_fd = -1;

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_sync_file_range)(int, off_t, off_t, unsigned);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_mkdir)(const char *, mode_t);
static int (*real_rmdir)(const char *);
static void *(*real_mmap)(void *, size_t, int, int, int, off_t);

static void fail(const char *why) {
    dprintf(2, "power shim: %s\n", why);
    abort();
}

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) fail(name);
    return found;
}

__attribute__((constructor)) static void begin(void) {
    real_open = real("open64");
    real_write = real("write");
    real_writev = real("writev");
    real_pwrite = real("pwrite64");
    real_ftruncate = real("ftruncate64");
    real_fsync = real("fsync");
    real_fdatasync = real("fdatasync");
    real_sync_file_range = real("sync_file_range");
    real_rename = real("rename");
    real_unlink = real("unlink");
    real_mkdir = real("mkdir");
    real_rmdir = real("rmdir");
    real_mmap = real("mmap64");
    const char *below = getenv("POWER_ROOT"), *log = getenv("POWER_LOG");
    if (!below || !log || below[0] != '/') fail("POWER_ROOT and POWER_LOG are not set");
    root_len = strlen(below);
    if (root_len >= sizeof root) fail("POWER_ROOT is too long");
    memcpy(root, below, root_len + 1);
    log_fd = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) fail("cannot open POWER_LOG");
}

static int below_root(const char *path) {
    return log_fd >= 0 && !strncmp(path, root, root_len) && (path[root_len] == '/' || !path[root_len]);
}

static void put(const void *bytes, size_t len) {
    const char *from = bytes;
    while (len) {
        ssize_t wrote = real_write(log_fd, from, len);
        if (wrote <= 0) fail("cannot write the record");
        from += wrote;
        len -= wrote;
    }
}

static void note(char kind, uint64_t inode, uint64_t offset, const char *path, const void *data, size_t len) {
    int before = errno;
    char head[25];
    uint32_t path_len = path ? strlen(path) : 0, data_len = len;
    head[0] = kind;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &path_len, 4);
    memcpy(head + 21, &data_len, 4);
    put(head, sizeof head);
    put(path, path_len);
    put(data, len);
    errno = before;
}

/* Tells whether the descriptor is of a file or directory below the root, and its present name. */
static int ours(int fd, char *path, struct stat *about) {
    char link[40];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = log_fd >= 0 ? readlink(link, path, PATH_MAX - 1) : -1;
    errno = before;
    if (len <= 0) return 0;
    path[len] = 0;
    return below_root(path) && !fstat(fd, about);
}

static int opened(const char *path, int flags, mode_t mode) {
    if (!below_root(path)) return real_open(path, flags, mode);
    if (flags & O_TMPFILE & ~O_DIRECTORY) fail("a file without a name");
    pthread_mutex_lock(&lock);
    int was_there = !access(path, F_OK);
    int fd = real_open(path, flags, mode);
    struct stat about;
    if (fd >= 0 && !fstat(fd, &about)) {
        if (!was_there) note(CREATE, about.st_ino, 0, path, NULL, 0);
        else if (flags & O_TRUNC) note(RESIZE, about.st_ino, 0, path, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return opened(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...) {
    MODE(flags)
    static int (*real_openat)(int, const char *, int, ...);
    if (dir == AT_FDCWD || path[0] == '/') return opened(path, flags, mode);
    if (!real_openat) real_openat = real("openat64");
    if (flags & (O_CREAT | O_TRUNC)) fail("a file opened relative to a directory");
    return real_openat(dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...) {
    MODE(flags)
    return openat(dir, path, flags, mode);
}

/* One write; a negative offset means where the descriptor stands. */
static ssize_t written(int fd, const void *data, size_t len, off_t offset) {
    char path[PATH_MAX];
    struct stat about;
    int placed = offset >= 0;
    if (!ours(fd, path, &about))
        return placed ? real_pwrite(fd, data, len, offset) : real_write(fd, data, len);
    pthread_mutex_lock(&lock);
    if (!placed) offset = lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    ssize_t wrote = placed ? real_pwrite(fd, data, len, offset) : real_write(fd, data, len);
    if (wrote > 0) note(WRITE, about.st_ino, offset, path, data, wrote);
    pthread_mutex_unlock(&lock);
    return wrote;
}

ssize_t write(int fd, const void *data, size_t len) { return written(fd, data, len, -1); }
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) { return written(fd, data, len, at); }
ssize_t pwrite64(int fd, const void *data, size_t len, off_t at) { return written(fd, data, len, at); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    struct stat about;
    if (ours(fd, path, &about)) fail("a gathered write");
    return real_writev(fd, parts, count);
}

int ftruncate64(int fd, off_t size) {
    char path[PATH_MAX];
    struct stat about;
    if (!ours(fd, path, &about)) return real_ftruncate(fd, size);
    pthread_mutex_lock(&lock);
    int result = real_ftruncate(fd, size);
    if (!result) note(RESIZE, about.st_ino, size, path, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* The lock is held meanwhile, so that nothing is written between what was synced and its entry. */
static int synced(int fd, char kind, int (*real_sync)(int)) {
    char path[PATH_MAX];
    struct stat about;
    if (!ours(fd, path, &about)) return real_sync(fd);
    pthread_mutex_lock(&lock);
    int result = real_sync(fd);
    if (!result && !fstat(fd, &about)) note(kind, about.st_ino, about.st_size, path, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return synced(fd, SYNC, real_fsync); }
int fdatasync(int fd) { return synced(fd, SYNC_DATA, real_fdatasync); }

int sync_file_range(int fd, off_t offset, off_t len, unsigned flags) {
    char path[PATH_MAX];
    struct stat about;
    if (!ours(fd, path, &about)) return real_sync_file_range(fd, offset, len, flags);
    pthread_mutex_lock(&lock);
    int result = real_sync_file_range(fd, offset, len, flags);
    if (!result) note(SYNC_RANGE, about.st_ino, offset, path, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *from, const char *to) {
    if (!below_root(from) && !below_root(to)) return real_rename(from, to);
    pthread_mutex_lock(&lock);
    int result = real_rename(from, to);
    if (!result) note(RENAME, 0, 0, from, to, strlen(to));
    pthread_mutex_unlock(&lock);
    return result;
}

/* An operation on one name. */
static int named(char kind, const char *path, int (*act)(const char *, mode_t), mode_t mode) {
    if (!below_root(path)) return act(path, mode);
    pthread_mutex_lock(&lock);
    int result = act(path, mode);
    if (!result) note(kind, 0, 0, path, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

static int do_unlink(const char *path, mode_t mode) { return (void)mode, real_unlink(path); }
static int do_rmdir(const char *path, mode_t mode) { return (void)mode, real_rmdir(path); }

int unlink(const char *path) { return named(UNLINK, path, do_unlink, 0); }

int unlinkat(int dir, const char *name, int flags) {
    char path[PATH_MAX], link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t len = dir == AT_FDCWD || name[0] == '/' ? 0 : readlink(link, path, PATH_MAX - 1);
    if (len < 0 || snprintf(path + len, PATH_MAX - len, len ? "/%s" : "%s", name) >= PATH_MAX - len)
        fail("a name too long");
    return flags & AT_REMOVEDIR ? rmdir(path) : unlink(path);
}

int mkdir(const char *path, mode_t mode) { return named(MKDIR, path, real_mkdir, mode); }
int rmdir(const char *path) { return named(RMDIR, path, do_rmdir, 0); }

static void *mapped(void *at, size_t len, int access, int flags, int fd, off_t offset) {
    char path[PATH_MAX];
    struct stat about;
    if (fd >= 0 && (access & PROT_WRITE) && (flags & MAP_SHARED) && ours(fd, path, &about))
        fail("a file written through memory");
    return real_mmap(at, len, access, flags, fd, offset);
}

void *mmap(void *at, size_t len, int access, int flags, int fd, off_t offset) {
    return mapped(at, len, access, flags, fd, offset);
}

void *mmap64(void *at, size_t len, int access, int flags, int fd, off_t offset) {
    return mapped(at, len, access, flags, fd, offset);
}

/* Calls that nobody makes here, and that the record has no words for. */
#define REFUSED(name, ...) \
    int name(__VA_ARGS__) { fail(#name); return -1; }

REFUSED(link, const char *from, const char *to)
REFUSED(linkat, int a, const char *from, int b, const char *to, int flags)
REFUSED(symlink, const char *from, const char *to)
REFUSED(renameat, int a, const char *from, int b, const char *to)
REFUSED(renameat2, int a, const char *from, int b, const char *to, unsigned flags)
REFUSED(mkdirat, int dir, const char *path, mode_t mode)
REFUSED(truncate, const char *path, off_t size)
REFUSED(truncate64, const char *path, off_t size)
REFUSED(fallocate, int fd, int mode, off_t offset, off_t len)
REFUSED(fallocate64, int fd, int mode, off_t offset, off_t len)
REFUSED(posix_fallocate, int fd, off_t offset, off_t len)
REFUSED(posix_fallocate64, int fd, off_t offset, off_t len)
