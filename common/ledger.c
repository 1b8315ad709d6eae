/* Reads the kernel's counts and does the sums.
 *
 * queued is taken from what was acknowledged and what is not yet: the count of bytes sent also counts those that
 * the local queue or filter threw away on their way out, which are sent again without counting as retransmitted.
 */
#include "common/ledger.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* The state's numbers, which linux/tcp.h does not have and netinet/tcp.h has beside a struct of the same name. */
enum {
	STATE_ESTABLISHED = 1,
	STATE_FIN_WAIT1 = 4,
	STATE_FIN_WAIT2 = 5,
	STATE_CLOSE = 7,
	STATE_CLOSE_WAIT = 8,
	STATE_LAST_ACK = 9,
	STATE_CLOSING = 11,
};

/* Data that can have come with a SYN, and a FIN with it: a FIN there is not counted in bytes_received. */
#define LEDGER_SYN_DATA_MOST 65536

/* How often bytes may arrive between two looks before we give up: each is a round of three system calls. */
#define LEDGER_LOOKS_MAX 10000

static int ledger_info(int fd, struct tcp_info *info_r)
{
	socklen_t len = sizeof(*info_r);

	memset(info_r, 0, sizeof(*info_r));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info_r, &len) < 0)
		return -1;
	if (len < offsetof(struct tcp_info, tcpi_bytes_sent)) {
		errno = ENOSYS;
		return -1;
	}
	return 0;
}

static bool ledger_stands_still(const struct tcp_info *a, const struct tcp_info *b)
{
	return a->tcpi_state == b->tcpi_state && a->tcpi_bytes_received == b->tcpi_bytes_received &&
		a->tcpi_bytes_acked == b->tcpi_bytes_acked;
}

/* Bytes and acknowledgements may come in at any time: all four of one instant. */
static int ledger_snapshot(int fd, struct tcp_info *info_r, int *in_r, int *out_r)
{
	struct tcp_info before;

	if (ledger_info(fd, info_r) < 0)
		return -1;
	for (int i = 0; i < LEDGER_LOOKS_MAX; i++) {
		before = *info_r;
		if (ioctl(fd, SIOCINQ, in_r) < 0 || ioctl(fd, SIOCOUTQ, out_r) < 0 ||
			ledger_info(fd, info_r) < 0)
			return -1;
		if (ledger_stands_still(&before, info_r))
			return 0;
	}
	errno = EAGAIN;
	return -1;
}

static bool ledger_has_error(int fd)
{
	struct pollfd ask = { fd, 0, 0 };

	return poll(&ask, 1, 0) > 0 && (ask.revents & POLLERR) != 0;
}

static int ledger_option(int fd, int option, int *value_r)
{
	socklen_t len = sizeof(*value_r);

	return getsockopt(fd, SOL_SOCKET, option, value_r, &len);
}

static int ledger_look_plain(int fd, bool connected, struct ledger_side *side_r)
{
	struct tcp_info info;
	uint64_t ever;
	uint32_t state;
	int in;
	int out;

	if (ledger_snapshot(fd, &info, &in, &out) < 0)
		return -1;
	state = info.tcpi_state;
	side_r->closed = state == STATE_CLOSE;
	side_r->fin_in =
		state == STATE_CLOSE_WAIT || state == STATE_LAST_ACK || state == STATE_CLOSING;
	side_r->fin_out = state == STATE_FIN_WAIT1 || state == STATE_FIN_WAIT2 ||
		state == STATE_LAST_ACK || state == STATE_CLOSING;
	side_r->fin_unsure = side_r->fin_in && !connected &&
		(info.tcpi_options & TCPI_OPT_SYN_DATA) != 0 &&
		info.tcpi_bytes_received <= LEDGER_SYN_DATA_MOST;
	side_r->error = side_r->closed && ledger_has_error(fd);
	side_r->received = info.tcpi_bytes_received;
	side_r->waiting = (uint64_t)in;
	ever = info.tcpi_bytes_acked + (uint64_t)out;
	if (ever >= (uint64_t)connected + side_r->fin_out) /* else it was disconnected: 0 */
		side_r->queued = ever - connected - side_r->fin_out;
	return 0;
}

int ledger_kind(int fd, struct ledger_side *side_r)
{
	int domain;
	int protocol;

	memset(side_r, 0, sizeof(*side_r));
	if (ledger_option(fd, SO_DOMAIN, &domain) < 0 ||
		ledger_option(fd, SO_PROTOCOL, &protocol) < 0)
		return -1;
	side_r->is_unix = domain == AF_UNIX;
	side_r->plain = (domain == AF_INET || domain == AF_INET6) && protocol == IPPROTO_TCP;
	return 0;
}

int ledger_look(int fd, bool connected, struct ledger_side *side_r)
{
	if (ledger_kind(fd, side_r) < 0)
		return -1;
	return side_r->plain ? ledger_look_plain(fd, connected, side_r) : 0;
}

int ledger_pipe(int fd, uint64_t *bytes_r)
{
	int bytes;

	if (ioctl(fd, FIONREAD, &bytes) < 0)
		return -1;
	*bytes_r = (uint64_t)bytes;
	return 0;
}

/* ------------------------------------------------------------------ the sums */

/* More was taken than is queued at the writer or lies in the pipe. */
static bool ledger_try_carry(const struct ledger_flow *flow, uint64_t written, uint64_t read,
	struct ledger_found *found_r)
{
	if (flow->carry == NULL || flow->to->closed) /* whose queue is gone */
		return false;
	found_r->drop = 0;
	found_r->carried = read - written;
	found_r->bytes = carry_find(flow->carry, written, found_r->carried);
	return found_r->bytes != NULL;
}

/* The same with a FIN counted or not: what is to be dropped, or is carried. False when it cannot be. */
static bool ledger_try(const struct ledger_flow *flow, unsigned fin, struct ledger_found *found_r)
{
	const struct ledger_side *from = flow->from;
	uint64_t written = flow->to->queued - flow->tx_base + flow->pipe_bytes;
	uint64_t read = from->received - fin - from->waiting - flow->rx_base;

	if (flow->to->queued < flow->tx_base ||
		from->received < fin + from->waiting + flow->rx_base)
		return false;
	if (written < read)
		return ledger_try_carry(flow, written, read, found_r);
	found_r->drop = written - read;
	found_r->carried = 0;
	/* A pipe is filled from a socket that has nothing to drop, and so is what is carried. */
	return found_r->drop <= from->waiting &&
		(found_r->drop == 0 || (flow->pipe_bytes == 0 && flow->carry == NULL));
}

/* Closed, and it fits with and without a FIN. Returns 0 or 1, or -1 when nobody can tell. */
static int ledger_which(const struct ledger_flow *flow)
{
	int error = 0;

	if (!flow->from->closed)
		return -1;
	if (flow->ended)
		return flow->from->error ? -1 : 1;
	/* Our FIN has not gone: it was reset. EPIPE: in CLOSE_WAIT; ECONNRESET: not there. */
	if (!flow->from->error || ledger_option(flow->from_fd, SO_ERROR, &error) < 0)
		return -1;
	if (error == EPIPE)
		return 1;
	return error == ECONNRESET ? 0 : -1;
}

static const char *ledger_fault(const struct ledger_flow *flow)
{
	if (!flow->from->plain || !flow->to->plain)
		return "a side is not plain TCP, the kernel keeps no counts of it";
	if (flow->to->fin_out)
		return "its record says that the end was not passed on";
	return NULL;
}

const char *ledger_find(const struct ledger_flow *flow, struct ledger_found *found_r)
{
	const struct ledger_side *from = flow->from;
	const char *fault = ledger_fault(flow);
	bool either = from->closed || from->fin_unsure;
	struct ledger_found found[2];
	bool fits[2];
	int fin;

	if (fault != NULL)
		return fault;
	fits[0] = (either || !from->fin_in) && ledger_try(flow, 0, &found[0]);
	fits[1] = (either || from->fin_in) && ledger_try(flow, 1, &found[1]);
	if (!fits[0] && !fits[1])
		return "bytes are missing, or more than was there";
	fin = fits[0] && fits[1] ? ledger_which(flow) : fits[1];
	if (fin < 0)
		return "whether an end came before its end by a reset is not known";
	*found_r = found[fin];
	found_r->forwarded = flow->to->queued - flow->tx_base;
	found_r->reset = from->closed && (from->error || !flow->ended || fin == 0);
	found_r->fin = from->fin_in || (fin == 1 && !found_r->reset);
	return NULL;
}

const char *ledger_consumed(const struct ledger_side *side, uint64_t *consumed_r)
{
	if (!side->plain)
		return "the client is not plain TCP, the kernel keeps no counts of it";
	if (side->closed || side->fin_unsure)
		return "whether an end came is not known";
	if (side->received < side->fin_in + side->waiting)
		return "bytes are missing";
	*consumed_r = side->received - side->fin_in - side->waiting;
	return NULL;
}
