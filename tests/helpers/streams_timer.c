/* See streams_timer.h. */
#include "tests/helpers/streams_timer.h"

#include <stddef.h>

void stream_timers_init(struct stream_timers *timers, uint64_t now_ms)
{
	timers->now_ms = now_ms;
	for (size_t i = 0; i < STREAM_TIMER_SLOTS; i++) {
		timers->heads[i].next = &timers->heads[i];
		timers->heads[i].prev = &timers->heads[i];
	}
}

void stream_timer_disarm(struct stream_timer *timer)
{
	if (!timer->next)
		return;
	timer->next->prev = timer->prev;
	timer->prev->next = timer->next;
	timer->next = NULL;
}

void stream_timer_arm(struct stream_timers *timers, struct stream_timer *timer, uint64_t due_ms)
{
	struct stream_timer *head;

	stream_timer_disarm(timer);
	timer->due_ms = due_ms > timers->now_ms ? due_ms : timers->now_ms;
	head = &timers->heads[timer->due_ms % STREAM_TIMER_SLOTS];
	timer->next = head;
	timer->prev = head->prev;
	head->prev->next = timer;
	head->prev = timer;
}

struct stream_timer *stream_timers_next(struct stream_timers *timers, uint64_t now_ms)
{
	for (; timers->now_ms <= now_ms; timers->now_ms++) {
		struct stream_timer *head = &timers->heads[timers->now_ms % STREAM_TIMER_SLOTS];

		for (struct stream_timer *timer = head->next; timer != head; timer = timer->next) {
			if (timer->due_ms <= timers->now_ms) {
				stream_timer_disarm(timer);
				return timer;
			}
		}
		/* What is armed for this very millisecond meanwhile waits for the next one. */
		if (timers->now_ms == now_ms)
			break;
	}
	return NULL;
}
