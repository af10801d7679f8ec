/*
 * A machine whose clock or disk goes wrong, as a process sees it: put before the C library (LD_PRELOAD), driven by two small files, each with a number.
 *
 * TEST_CLOCK   names the file with the seconds that the clock shows too many; read at every look at the clock.
 * TEST_ERRNO   names the file with the error of every write below the directory that TEST_DISK names; 0: none.
 * TEST_LATE    names the file with the milliseconds that a disk needs to keep what was written there, each time that it is asked to; read while it works.
 *
 * Only clock_gettime is changed, which Rust asks: a database that waits until a time of its own must not wait for another.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static long told(const char *name)
{
    const char *path = getenv(name);
    char text[32] = {0};
    int saved = errno;
    long file, length;
    if (!path)
        return 0;
    file = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) {
        errno = saved;
        return 0;
    }
    length = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    errno = saved;
    return length > 0 ? strtol(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    long result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && clock == CLOCK_REALTIME)
        time->tv_sec += told("TEST_CLOCK");
    return (int)result;
}

static int is_below(const char *path)
{
    const char *disk = getenv("TEST_DISK");
    return disk && path && strncmp(path, disk, strlen(disk)) == 0;
}

/* The error that a change of this path or file has; 0: none. */
static int wrong_path(const char *path)
{
    return is_below(path) ? (int)told("TEST_ERRNO") : 0;
}

static int is_file_below(int file)
{
    char link[64], path[4096];
    ssize_t length;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return is_below(path);
}

static int wrong_file(int file)
{
    int error = (int)told("TEST_ERRNO");
    return error && is_file_below(file) ? error : 0;
}

static void be_late(int file)
{
    long waited;
    if (!told("TEST_LATE") || !is_file_below(file))
        return;
    for (waited = 0; waited < told("TEST_LATE"); waited += 20)
        usleep(20 * 1000);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define FAIL_WHERE(error)          \
    do {                           \
        int found = (error);       \
        if (found) {               \
            errno = found;         \
            return -1;             \
        }                          \
    } while (0)

/* A full disk still opens what is there; a read-only one opens nothing for writing. */
static int wrong_open(const char *path, int flags)
{
    int error = wrong_path(path);
    if (error == ENOSPC)
        return (flags & O_CREAT) && access(path, F_OK) != 0 ? error : 0;
    return (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) ? error : 0;
}

#define OPEN(name)                                                              \
    int name(const char *path, int flags, ...)                                  \
    {                                                                           \
        va_list more;                                                           \
        mode_t mode;                                                            \
        va_start(more, flags);                                                  \
        mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0;      \
        va_end(more);                                                           \
        FAIL_WHERE(wrong_open(path, flags));                                    \
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode); \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int file, const void *bytes, size_t length)
{
    FAIL_WHERE(wrong_file(file));
    return syscall(SYS_write, file, bytes, length);
}

ssize_t writev(int file, const struct iovec *pieces, int count)
{
    FAIL_WHERE(wrong_file(file));
    return syscall(SYS_writev, file, pieces, count);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t place)
{
    FAIL_WHERE(wrong_file(file));
    return syscall(SYS_pwrite64, file, bytes, length, place);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t place)
{
    FAIL_WHERE(wrong_file(file));
    return syscall(SYS_pwrite64, file, bytes, length, place);
}

int fallocate(int file, int mode, off_t place, off_t length)
{
    FAIL_WHERE(wrong_file(file));
    return REAL(fallocate)(file, mode, place, length);
}

int ftruncate(int file, off_t length)
{
    int error = wrong_file(file);
    FAIL_WHERE(error == ENOSPC ? 0 : error);
    return (int)syscall(SYS_ftruncate, file, length);
}

int ftruncate64(int file, off64_t length)
{
    int error = wrong_file(file);
    FAIL_WHERE(error == ENOSPC ? 0 : error);
    return (int)syscall(SYS_ftruncate, file, length);
}

int fsync(int file)
{
    int error = wrong_file(file);
    be_late(file);
    FAIL_WHERE(error == ENOSPC ? 0 : error);
    return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file)
{
    int error = wrong_file(file);
    be_late(file);
    FAIL_WHERE(error == ENOSPC ? 0 : error);
    return (int)syscall(SYS_fdatasync, file);
}

int rename(const char *from, const char *to)
{
    int error = wrong_path(to);
    FAIL_WHERE(error == ENOSPC ? 0 : error);
    return REAL(rename)(from, to);
}

int unlink(const char *path)
{
    int error = wrong_path(path);
    FAIL_WHERE(error == ENOSPC ? 0 : error);
    return REAL(unlink)(path);
}

int mkdir(const char *path, mode_t mode)
{
    FAIL_WHERE(wrong_path(path));
    return REAL(mkdir)(path, mode);
}
