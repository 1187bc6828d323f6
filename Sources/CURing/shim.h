// liburing, and the few calls of Linux beyond POSIX that Swift's Glibc module leaves out.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <liburing.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

// Values that the system's headers give only to those who ask for GNU's extensions.
static const int linux_open_direct = O_DIRECT;
static const int linux_seek_data = SEEK_DATA;
static const int linux_seek_hole = SEEK_HOLE;

static inline int linux_fallocate(int file, int mode, off_t offset, off_t length) {
    return (int)syscall(SYS_fallocate, file, mode, offset, length);
}

static inline int linux_syncfs(int file) {
    return (int)syscall(SYS_syncfs, file);
}
