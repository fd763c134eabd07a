/* Adds the days or minutes of FAKETIME ("+400d", "-20m") to the system's clock, and leaves the monotonic one as it is: what tests/faketime
   needs of libfaketime, for machines that cannot install that, and the clocks of tests/cluster.sh. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

typedef int clock_gettime_fn(clockid_t, struct timespec *);

static time_t ahead(void) {
    const char *time = getenv("FAKETIME");
    char *unit;
    if (!time) return 0;
    long number = strtol(time, &unit, 10);
    return (time_t)number * (*unit == 'm' ? 60 : 86400);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static clock_gettime_fn *real;
    if (!real) real = (clock_gettime_fn *)dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += ahead();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    int result = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return result;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
