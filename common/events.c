/* The ring of events: one writer, readers that look whether what they copied was whole.
 */
#include "common/events.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/shm.h"

static struct event_record *events_slot(struct shm *shm, uint64_t number)
{
	return &shm_master(shm)->events.ring[number % EVENTS_MAX];
}

uint64_t events_last(struct shm *shm)
{
	return atomic_load_explicit(&shm_master(shm)->events.count, memory_order_acquire);
}

uint64_t events_first(struct shm *shm)
{
	const uint64_t last = events_last(shm);

	return last <= EVENTS_MAX ? last > 0 : last - EVENTS_MAX + 1;
}

PRINTF_LIKE(4, 0)
static void events_put(struct shm *shm, uint64_t wall_ms, const struct event_what *what,
	const char *format, va_list args) PRINTF_LIKE(4, 0);
static void events_put(struct shm *shm, uint64_t wall_ms, const struct event_what *what,
	const char *format, va_list args)
{
	struct shm_events *events = &shm_master(shm)->events;
	const uint64_t number = events_last(shm) + 1;
	struct event_record *record = events_slot(shm, number);

	atomic_store_explicit(&record->sequence, 2 * number - 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	record->wall_ms = wall_ms;
	record->kind = what->kind;
	record->level = what->level;
	snprintf(record->object, sizeof(record->object), "%s", what->object);
	vsnprintf(record->text, sizeof(record->text), format, args);
	atomic_store_explicit(&record->sequence, 2 * number, memory_order_release);
	atomic_store_explicit(&events->count, number, memory_order_release);
}

void events_add(struct shm *shm, const struct event_what *what, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	events_put(shm, clock_wall_ms(), what, format, args);
	va_end(args);
}

void events_add_at(
	struct shm *shm, uint64_t wall_ms, const struct event_what *what, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	events_put(shm, wall_ms, what, format, args);
	va_end(args);
}

bool events_read(struct shm *shm, uint64_t number, struct event_record *record_r)
{
	const struct event_record *record = events_slot(shm, number);
	const uint64_t before = atomic_load_explicit(&record->sequence, memory_order_acquire);

	if (number == 0 || before != 2 * number)
		return false;
	memcpy(record_r, record, sizeof(*record_r));
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&record->sequence, memory_order_relaxed) != before)
		return false;
	record_r->object[EVENT_OBJECT_MAX - 1] = '\0';
	record_r->text[EVENT_TEXT_MAX - 1] = '\0';
	return true;
}

const char *event_kind_name(uint32_t kind)
{
	static const char *const names[EVENT_KINDS] = {
		[EVENT_SERVER] = "server",
		[EVENT_BACKEND] = "backend",
		[EVENT_RELOAD] = "reload",
		[EVENT_PROCESS] = "process",
		[EVENT_OPERATOR] = "operator",
		[EVENT_DAEMON] = "daemon",
	};

	return kind < EVENT_KINDS ? names[kind] : "unknown";
}

const char *event_level_name(uint32_t level)
{
	static const char *const names[EVENT_LEVELS] = {
		[EVENT_INFO] = "info",
		[EVENT_GOOD] = "good",
		[EVENT_WARN] = "warn",
		[EVENT_BAD] = "bad",
	};

	return level < EVENT_LEVELS ? names[level] : "unknown";
}
