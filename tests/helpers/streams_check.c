/* The judge's eye: a byte that is not the one that belongs there is told from one that is missing and from one that
 * came twice, by finding the stream again behind it.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/helpers/streams.h"

#define LOOK_BYTES   24         /* so many in a row are no coincidence */
#define SEARCH_BYTES (4U << 20) /* how far off the stream is looked for, either way */
#define FLIP_BYTES   8          /* a damage within so many leaves the rest in its place */
#define LOST_MAX     8          /* then nothing of it is believed any more */

static size_t first_difference(uint64_t seed, uint64_t offset, const char *buf, size_t len)
{
	char want[512];

	for (size_t at = 0; at < len; at += sizeof(want)) {
		size_t n = len - at < sizeof(want) ? len - at : sizeof(want);

		stream_fill(seed, offset + at, want, n);
		for (size_t i = 0; i < n; i++) {
			if (want[i] != buf[at + i])
				return at + i;
		}
	}
	return len;
}

static uint64_t count_differences(uint64_t seed, uint64_t offset, const char *buf, size_t len)
{
	uint64_t differences = 0;
	char want;

	for (size_t i = 0; i < len; i++) {
		stream_fill(seed, offset + i, &want, 1);
		differences += want != buf[i];
	}
	return differences;
}

/* The offset in the stream that these bytes stand at; UINT64_MAX when it is none near. */
static uint64_t find_place(uint64_t seed, uint64_t offset, const char *look)
{
	uint64_t from = offset > SEARCH_BYTES ? offset - SEARCH_BYTES : 0;
	size_t len = (size_t)(offset - from) + SEARCH_BYTES;
	char *window = malloc(len);
	const char *found;
	uint64_t place;

	if (!window)
		die("no memory");
	stream_fill(seed, from, window, len);
	found = memmem(window, len, look, LOOK_BYTES);
	place = found ? from + (uint64_t)(found - window) : UINT64_MAX;
	free(window);
	return place;
}

/* At a difference: how many bytes of buf are settled by it. */
static size_t settle_difference(struct end *end, const char *buf, size_t len)
{
	struct streams_tally *tally = end->process->tally;
	uint64_t place;

	if (len >= FLIP_BYTES + LOOK_BYTES &&
		stream_matches(end->seed_in, end->rx + FLIP_BYTES, buf + FLIP_BYTES, LOOK_BYTES)) {
		tally->wrong_bytes += count_differences(end->seed_in, end->rx, buf, FLIP_BYTES);
		end->rx += FLIP_BYTES;
		return FLIP_BYTES;
	}
	if (len >= LOOK_BYTES && end->lost < LOST_MAX) {
		place = find_place(end->seed_in, end->rx, buf);
		if (place != UINT64_MAX) {
			if (place > end->rx)
				tally->missing_bytes += place - end->rx;
			else
				tally->doubled_bytes += end->rx - place;
			end->rx = place;
			return 0;
		}
		end->lost++;
	}
	tally->wrong_bytes += count_differences(end->seed_in, end->rx, buf, len);
	end->rx += len;
	return len;
}

void check_bytes(struct end *end, const char *buf, size_t len)
{
	while (len > 0 && !stream_matches(end->seed_in, end->rx, buf, len)) {
		size_t n = first_difference(end->seed_in, end->rx, buf, len);

		end_blame(end, FATE_WRONG);
		end->rx += n;
		n += settle_difference(end, buf + n, len - n);
		buf += n;
		len -= n;
	}
	end->rx += len;
}
