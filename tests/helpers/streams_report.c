/* What `streams` says: one JSON line of all that it knows, or of the round trips of a window. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/helpers/streams.h"

#define HIST_SUB 64
#define SHOWN    16 /* incidents in a line */

const char *const stream_kind_names[STREAM_KINDS] = { "idle", "chat", "half_client", "half_server",
	"stuck_up", "stuck_down", "stuck_both", "bulk", "churn" };
static const char *const fate_names[FATES] = { "none", "refused", "reset", "early_eof", "short",
	"timeout", "wrong" };

typedef unsigned long long llu;

/* ------------------------------------------------------------------ round trips */

static size_t hist_bucket(uint64_t value)
{
	unsigned shift;
	size_t bucket;

	if (value < HIST_SUB)
		return (size_t)value;
	shift = 63 - 6 - (unsigned)__builtin_clzll(value);
	bucket = (shift + 1) * HIST_SUB + (size_t)(value >> shift) % HIST_SUB;
	return bucket < STREAMS_HIST_BUCKETS ? bucket : STREAMS_HIST_BUCKETS - 1;
}

static uint64_t hist_value(size_t bucket)
{
	size_t shift = bucket / HIST_SUB;

	return shift == 0 ? bucket : (HIST_SUB + bucket % HIST_SUB) << (shift - 1);
}

static void hist_add(struct streams_hist *hist, uint64_t value)
{
	hist->n++;
	hist->buckets[hist_bucket(value)]++;
	if (value > hist->max)
		hist->max = value;
}

static uint64_t hist_quantile(const struct streams_hist *hist, uint64_t per_mille)
{
	uint64_t below = 0;

	for (size_t i = 0; i < STREAMS_HIST_BUCKETS; i++) {
		below += hist->buckets[i];
		if (below > 0 && below * 1000 >= hist->n * per_mille)
			return hist_value(i);
	}
	return 0;
}

void report_rtt(struct streams_run *run, struct end *end, uint64_t us)
{
	hist_add(&run->rtt, us);
	hist_add(&run->window_rtt, us);
	if (us > end->worst_us)
		end->worst_us = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static void print_hist(const char *name, const struct streams_hist *hist)
{
	printf(",\"%s\":{\"n\":%llu,\"p50\":%llu,\"p99\":%llu,\"p999\":%llu,\"max\":%llu}", name,
		(llu)hist->n, (llu)hist_quantile(hist, 500), (llu)hist_quantile(hist, 990),
		(llu)hist_quantile(hist, 999), (llu)hist->max);
}

/* Over the relays that talk: the longest that each of them waited in this window, also for what is due still. */
static void print_pauses(const struct streams_run *run)
{
	struct streams_hist *pauses = calloc(1, sizeof(*pauses));
	uint64_t now = now_us();

	if (!pauses)
		die("no memory");
	for (size_t i = 0; i < run->options->relays; i++) {
		const struct end *end = &run->ends[i];
		uint64_t us = end->worst_us;

		if (end->state == END_OPEN && end->asked_us != 0 && now - end->asked_us > us)
			us = now - end->asked_us;
		if (us > 0)
			hist_add(pauses, us);
	}
	print_hist("pause", pauses);
	free(pauses);
}

void report_window(struct streams_run *run)
{
	uint64_t now = now_us();

	printf("{\"window\":%u,\"ms\":%llu", ++run->windows, (llu)((now - run->window_us) / 1000));
	print_hist("rtt", &run->window_rtt);
	print_pauses(run);
	printf("}\n");
	memset(&run->window_rtt, 0, sizeof(run->window_rtt));
	run->window_us = now;
	for (size_t i = 0; i < run->options->relays; i++)
		run->ends[i].worst_us = 0;
}

/* ------------------------------------------------------------------ all of it */

static uint64_t count_broken(const struct streams_run *run)
{
	uint64_t sum = 0;

	for (int kind = 0; kind < STREAM_KINDS; kind++) {
		for (int fate = 0; fate < FATES; fate++)
			sum += run->shared->broken[kind][fate];
	}
	return sum;
}

static void print_broken(const struct streams_run *run)
{
	const char *comma = "";

	printf(",\"broken\":%llu,\"broken_old\":%llu", (llu)count_broken(run),
		(llu)run->shared->broken_old);
	for (int fate = FATE_NONE + 1; fate < FATES; fate++) {
		uint64_t sum = 0;

		for (int kind = 0; kind < STREAM_KINDS; kind++)
			sum += run->shared->broken[kind][fate];
		printf(",\"%s\":%llu", fate_names[fate], (llu)sum);
	}
	printf(",\"kinds\":{");
	for (int kind = 0; kind < STREAM_KINDS; kind++) {
		uint64_t sum = 0;

		if (run->options->count[kind] == 0)
			continue;
		for (int fate = 0; fate < FATES; fate++)
			sum += run->shared->broken[kind][fate];
		printf("%s\"%s\":{\"relays\":%llu,\"broken\":%llu}", comma, stream_kind_names[kind],
			(llu)run->options->count[kind], (llu)sum);
		comma = ",";
	}
	printf("}");
}

static void print_incidents(const struct streams_run *run)
{
	uint32_t n = run->shared->nincidents;

	printf(",\"incidents\":[");
	for (uint32_t i = 0; i < n && i < SHOWN; i++) {
		const struct streams_incident *incident = &run->shared->incidents[i];

		printf("%s{\"relay\":%u,\"round\":%u,\"kind\":\"%s\",\"seen_by\":\"%s\",\"what\":\"%s\",\"at_ms\":%llu,\"age_ms\":%llu,\"sent\":%llu,\"received\":%llu}",
			i ? "," : "", incident->number, incident->round,
			stream_kind_names[run->shared->slots[incident->number].kind],
			incident->side == SIDE_CLIENT ? "client" : "origin",
			fate_names[incident->fate], (llu)((incident->at_us - run->begin_us) / 1000),
			(llu)(incident->age_us / 1000), (llu)incident->sent,
			(llu)incident->received);
	}
	printf("]");
}

/* What stands between the two ends of the stuck relays: the least and the sum. */
static void print_stuck(const struct streams_run *run)
{
	uint64_t least = UINT64_MAX;
	uint64_t sum = 0;

	for (size_t i = 0; i < run->options->relays; i++) {
		const struct streams_slot *slot = &run->shared->slots[i];

		for (int side = 0; side < SIDES; side++) {
			uint64_t sent = slot->side[side].sent;
			uint64_t received = slot->side[1 - side].received;

			if (slot->kind != STREAM_STUCK_BOTH &&
				slot->kind !=
					(side == SIDE_CLIENT ? STREAM_STUCK_UP : STREAM_STUCK_DOWN))
				continue;
			if (sent - received < least)
				least = sent - received;
			sum += sent - received;
		}
	}
	if (least != UINT64_MAX)
		printf(",\"stuck_bytes\":{\"least\":%llu,\"sum\":%llu}", (llu)least, (llu)sum);
}

void report_stats(const struct streams_run *run)
{
	const struct streams_tally *up = &run->shared->tally[SIDE_CLIENT];
	const struct streams_tally *down = &run->shared->tally[SIDE_ORIGIN];

	printf("{\"ms\":%llu,\"relays\":%llu,\"opened\":%llu,\"established\":%llu,\"ok\":%llu",
		(llu)((now_us() - run->begin_us) / 1000), (llu)run->options->relays,
		(llu)run->opened, (llu)run->established, (llu)run->ok);
	print_broken(run);
	printf(",\"wrong_bytes\":%llu,\"missing_bytes\":%llu,\"doubled_bytes\":%llu,\"short_bytes\":%llu",
		(llu)(up->wrong_bytes + down->wrong_bytes),
		(llu)(up->missing_bytes + down->missing_bytes),
		(llu)(up->doubled_bytes + down->doubled_bytes),
		(llu)(up->short_bytes + down->short_bytes));
	printf(",\"strangers\":%llu,\"hanging\":%llu,\"newcomers\":%llu", (llu)down->strangers,
		(llu)run->hanging, (llu)down->newcomers);
	printf(",\"sent_up\":%llu,\"received_up\":%llu,\"sent_down\":%llu,\"received_down\":%llu",
		(llu)up->sent, (llu)down->received, (llu)down->sent, (llu)up->received);
	print_stuck(run);
	print_hist("rtt", &run->rtt);
	print_incidents(run);
	printf("}\n");
}

bool report_good(const struct streams_run *run)
{
	for (int side = 0; side < SIDES; side++) {
		const struct streams_tally *tally = &run->shared->tally[side];

		if (tally->wrong_bytes + tally->missing_bytes + tally->doubled_bytes +
				tally->strangers >
			0)
			return false;
	}
	return run->shared->broken_old == 0 && run->hanging == 0;
}
