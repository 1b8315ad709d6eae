/* The edit distance, with two neighbours changing places as one edit (the commonest slip).
 */
#include "conf/nearest.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_BYTES 64

void nearest_start(struct nearest *nearest, const char *wrong)
{
	size_t len = strlen(wrong);

	*nearest = (struct nearest){ .wrong = wrong, .distance = len < 4 ? 2 : len < 8 ? 3 : 4 };
}

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Of two texts of at most NAME_MAX_BYTES. Three rows of the matrix are enough (optimal string alignment). */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	uint8_t rows[3][NAME_MAX_BYTES + 1];

	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = (uint8_t)j;
	for (size_t i = 1; i <= a_len; i++) {
		uint8_t *now = rows[i % 3];
		const uint8_t *before = rows[(i + 2) % 3];
		const uint8_t *earlier = rows[(i + 1) % 3];

		now[0] = (uint8_t)i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t differs = a[i - 1] != b[j - 1];
			size_t best =
				min3(before[j] + 1u, now[j - 1] + 1u, before[j - 1] + differs);

			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				earlier[j - 2] + 1u < best)
				best = earlier[j - 2] + 1u;
			now[j] = (uint8_t)best;
		}
	}
	return rows[a_len % 3][b_len];
}

void nearest_offer(struct nearest *nearest, const char *name)
{
	size_t wrong_len = strlen(nearest->wrong), name_len = strlen(name);
	size_t apart = wrong_len > name_len ? wrong_len - name_len : name_len - wrong_len;
	size_t distance;

	if (wrong_len > NAME_MAX_BYTES || name_len > NAME_MAX_BYTES || apart >= nearest->distance)
		return;
	if (strcasecmp(nearest->wrong, name) == 0)
		distance = 0;
	else
		distance = edit_distance(nearest->wrong, wrong_len, name, name_len);
	/* Of a short name not every letter may be wrong. */
	if (distance >= nearest->distance || distance >= name_len)
		return;
	nearest->distance = distance;
	nearest->name = name;
}
