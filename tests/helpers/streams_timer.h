/* Timers of `streams` in a wheel of milliseconds: thousands of them, armed and disarmed all the time. */
#ifndef PROXYD_TESTS_HELPERS_STREAMS_TIMER_H
#define PROXYD_TESTS_HELPERS_STREAMS_TIMER_H

#include <stdint.h>

#define STREAM_TIMER_SLOTS 4096

struct stream_timer {
	struct stream_timer *next; /* NULL when it is not armed */
	struct stream_timer *prev;
	uint64_t due_ms;
};

struct stream_timers {
	uint64_t now_ms; /* all before it have fired */
	struct stream_timer heads[STREAM_TIMER_SLOTS];
};

void stream_timers_init(struct stream_timers *timers, uint64_t now_ms);
/* Anew when it is armed. */
void stream_timer_arm(struct stream_timers *timers, struct stream_timer *timer, uint64_t due_ms);
void stream_timer_disarm(struct stream_timer *timer);
/* One that is due by now, disarmed, or NULL. */
struct stream_timer *stream_timers_next(struct stream_timers *timers, uint64_t now_ms);

#endif
