/* Lays the parts of the shared memory out and maps them with the rights of each role.
 */
#include "common/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHM_MAGIC 0x647978307250ULL /* "Pr0xyd" */

#define SHM_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* The first page. Written once by shm_create, so that another binary can tell whether it understands. */
struct shm_header {
	uint64_t magic;
	uint32_t version;
	uint32_t header_bytes;
	uint32_t slots;
	uint32_t records;
	uint32_t frontends;
	uint32_t backends;
	uint32_t servers;
	uint32_t record_bytes;
	uint64_t slot_bytes;
	uint64_t total_bytes;
};

struct shm {
	int fd;     /* owned */
	char *base; /* owned mapping */
	size_t bytes;
	size_t master_at;
	size_t checker_at;
	size_t keeper_at;
	size_t shared_at;
	size_t slots_at;
	size_t slot_bytes;
	size_t records_at; /* within a slot */
	size_t carries_at;
	size_t carry_bytes; /* one */
	uint32_t records;
};

static size_t shm_pages(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

static void shm_layout(struct shm *shm)
{
	shm->master_at = shm_pages(sizeof(struct shm_header));
	shm->checker_at = shm->master_at + shm_pages(sizeof(struct shm_master));
	shm->keeper_at = shm->checker_at + shm_pages(sizeof(struct shm_checker));
	shm->shared_at = shm->keeper_at + shm_pages(sizeof(struct shm_keeper));
	shm->slots_at = shm->shared_at + shm_pages(sizeof(struct shm_shared));
	shm->records_at = shm_pages(sizeof(struct shm_slot));
	shm->slot_bytes = shm->records_at + shm_pages(shm->records * sizeof(struct relay_record));
	shm->carries_at = shm->slots_at + SHM_SLOTS * shm->slot_bytes;
	shm->carry_bytes = shm_pages(sizeof(struct carry));
	shm->bytes = shm->carries_at + SHM_SLOTS * shm->carry_bytes;
}

static struct shm_header shm_header(const struct shm *shm)
{
	return (struct shm_header){
		.magic = SHM_MAGIC,
		.version = SHM_VERSION,
		.header_bytes = sizeof(struct shm_header),
		.slots = SHM_SLOTS,
		.records = shm->records,
		.frontends = SHM_FRONTENDS_MAX,
		.backends = SHM_BACKENDS_MAX,
		.servers = SHM_SERVERS_MAX,
		.record_bytes = sizeof(struct relay_record),
		.slot_bytes = shm->slot_bytes,
		.total_bytes = shm->bytes,
	};
}

static int shm_map(struct shm *shm)
{
	shm->base = mmap(
		NULL, shm->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, shm->fd, 0);
	if (shm->base == MAP_FAILED) {
		shm->base = NULL;
		return -1;
	}
	return 0;
}

static int shm_open_memory(struct shm *shm)
{
	shm->fd = memfd_create("proxyd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (shm->fd < 0)
		return -1;
	if (ftruncate(shm->fd, (off_t)shm->bytes) < 0)
		return -1;
	if (fcntl(shm->fd, F_ADD_SEALS, SHM_SEALS) < 0)
		return -1;
	return shm_map(shm);
}

struct shm *shm_create(uint32_t records, const char **error_r)
{
	struct shm *shm = calloc(1, sizeof(*shm));

	if (shm == NULL) {
		*error_r = strerror(ENOMEM);
		return NULL;
	}
	shm->records = records;
	shm_layout(shm);
	if (shm_open_memory(shm) < 0) {
		*error_r = strerror(errno);
		shm_free(shm);
		return NULL;
	}
	*(struct shm_header *)(void *)shm->base = shm_header(shm);
	return shm;
}

/* The header of the memory behind fd must be what ours would be. Returns NULL, or what is wrong. */
static const char *shm_check(struct shm *shm)
{
	struct shm_header header;
	struct shm_header ours;
	struct stat st;

	if (fcntl(shm->fd, F_GET_SEALS) != SHM_SEALS || fstat(shm->fd, &st) < 0)
		return "it is not sealed shared memory";
	if (pread(shm->fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
		header.magic != SHM_MAGIC)
		return "it is not proxyd's shared memory";
	if (header.version != SHM_VERSION)
		return "it is of another version";
	if (header.records == 0 || header.records > SHM_RECORDS_MAX)
		return "its header cannot be true";
	shm->records = header.records;
	shm_layout(shm);
	ours = shm_header(shm);
	if (memcmp(&header, &ours, sizeof(ours)) != 0 || (uint64_t)st.st_size != shm->bytes)
		return "its layout is another one";
	return NULL;
}

struct shm *shm_attach(int fd, const char **error_r)
{
	struct shm *shm = calloc(1, sizeof(*shm));

	if (shm == NULL) {
		*error_r = strerror(ENOMEM);
		close(fd);
		return NULL;
	}
	shm->fd = fd;
	*error_r = shm_check(shm);
	if (*error_r == NULL && shm_map(shm) < 0)
		*error_r = strerror(errno);
	if (*error_r != NULL) {
		shm_free(shm);
		return NULL;
	}
	return shm;
}

int shm_fd(const struct shm *shm)
{
	return shm->fd;
}

void shm_free(struct shm *shm)
{
	if (shm == NULL)
		return;
	if (shm->base != NULL)
		munmap(shm->base, shm->bytes);
	if (shm->fd >= 0)
		close(shm->fd);
	free(shm);
}

static int shm_writable(struct shm *shm, size_t at, size_t bytes)
{
	return mprotect(shm->base + at, bytes, PROT_READ | PROT_WRITE);
}

int shm_restrict(struct shm *shm, enum shm_role role, uint32_t slot)
{
	MUST(slot < SHM_SLOTS);
	if (role == SHM_MASTER)
		return 0;
	if (mprotect(shm->base, shm->bytes, PROT_READ) < 0)
		return -1;
	if (role != SHM_WORKER &&
		munmap(shm->base + shm->carries_at, shm->bytes - shm->carries_at) < 0)
		return -1;
	if (role == SHM_READER)
		return 0;
	if (role == SHM_KEEPER)
		return shm_writable(shm, shm->keeper_at, shm->shared_at - shm->keeper_at);
	if (shm_writable(shm, shm->shared_at, shm->slots_at - shm->shared_at) < 0)
		return -1;
	if (role == SHM_CHECKER)
		return shm_writable(shm, shm->checker_at, shm->keeper_at - shm->checker_at);
	if (shm_writable(shm, shm->carries_at + slot * shm->carry_bytes, shm->carry_bytes) < 0)
		return -1;
	return shm_writable(shm, shm->slots_at + slot * shm->slot_bytes, shm->slot_bytes);
}

struct shm_master *shm_master(struct shm *shm)
{
	return (struct shm_master *)(void *)(shm->base + shm->master_at);
}

struct shm_checker *shm_checker(struct shm *shm)
{
	return (struct shm_checker *)(void *)(shm->base + shm->checker_at);
}

struct shm_keeper *shm_keeper(struct shm *shm)
{
	return (struct shm_keeper *)(void *)(shm->base + shm->keeper_at);
}

struct shm_shared *shm_shared(struct shm *shm)
{
	return (struct shm_shared *)(void *)(shm->base + shm->shared_at);
}

struct shm_slot *shm_slot(struct shm *shm, uint32_t slot)
{
	MUST(slot < SHM_SLOTS);
	return (struct shm_slot *)(void *)(shm->base + shm->slots_at + slot * shm->slot_bytes);
}

struct relay_record *shm_record(struct shm *shm, uint32_t slot, uint32_t record)
{
	MUST(slot < SHM_SLOTS && record < shm->records);
	return (struct relay_record *)(void *)(shm->base + shm->slots_at + slot * shm->slot_bytes +
		       shm->records_at) +
		record;
}

struct carry *shm_carry(struct shm *shm, uint32_t slot)
{
	MUST(slot < SHM_SLOTS);
	return (struct carry *)(void *)(shm->base + shm->carries_at + slot * shm->carry_bytes);
}

uint32_t shm_records(const struct shm *shm)
{
	return shm->records;
}

static uint32_t shm_most(enum shm_kind kind)
{
	static const uint32_t most[SHM_KINDS] = {
		[SHM_FRONTEND] = SHM_FRONTENDS_MAX,
		[SHM_BACKEND] = SHM_BACKENDS_MAX,
		[SHM_SERVER] = SHM_SERVERS_MAX,
	};

	MUST(kind < SHM_KINDS);
	return most[kind];
}

uint32_t shm_place(struct shm *shm, enum shm_kind kind, const char *name)
{
	struct shm_names *names = &shm_master(shm)->names[kind];
	uint32_t hash = 5381;
	uint32_t place = names->count;
	size_t len = strlen(name);

	for (const char *p = name; *p != '\0'; p++)
		hash = hash * 33 + (unsigned char)*p;
	for (;; hash++) {
		uint32_t found = names->index[hash % SHM_INDEX_SIZE];

		if (found == 0)
			break;
		if (strcmp(names->names[found - 1], name) == 0)
			return found - 1;
	}
	if (place == shm_most(kind) || len >= SHM_NAME_MAX)
		return SHM_NONE;
	memcpy(names->names[place], name, len + 1);
	names->index[hash % SHM_INDEX_SIZE] = place + 1;
	names->count = place + 1;
	return place;
}

uint32_t shm_placed(struct shm *shm, enum shm_kind kind)
{
	return shm_master(shm)->names[kind].count;
}

const char *shm_name(struct shm *shm, enum shm_kind kind, uint32_t place)
{
	MUST(place < shm_most(kind));
	return shm_master(shm)->names[kind].names[place];
}

void shm_belongs(struct shm *shm, uint32_t backend, uint32_t server)
{
	struct shm_belongings *all = &shm_master(shm)->belongings;

	MUST(backend < SHM_BACKENDS_MAX && server < SHM_SERVERS_MAX);
	if (all->owner[server] != 0)
		return;
	/* The first already, without an owner: a master died right here. */
	if (all->first[backend] != server + 1) {
		all->next[server] = all->first[backend];
		all->first[backend] = server + 1;
	}
	all->owner[server] = backend + 1;
}

uint32_t shm_first_server(struct shm *shm, uint32_t backend)
{
	MUST(backend < SHM_BACKENDS_MAX);
	return shm_master(shm)->belongings.first[backend] - 1;
}

uint32_t shm_next_server(struct shm *shm, uint32_t server)
{
	MUST(server < SHM_SERVERS_MAX);
	return shm_master(shm)->belongings.next[server] - 1;
}

void shm_place_stays(struct shm *shm, enum shm_kind kind, uint32_t place, uint32_t generation)
{
	MUST(place < shm_most(kind));
	atomic_store_explicit(
		&shm_master(shm)->names[kind].generation[place], generation, memory_order_relaxed);
}

bool shm_place_is_current(struct shm *shm, enum shm_kind kind, uint32_t place)
{
	struct shm_master *master = shm_master(shm);

	return place < shm_most(kind) &&
		atomic_load_explicit(
			&master->names[kind].generation[place], memory_order_relaxed) >=
		atomic_load_explicit(&master->generation, memory_order_relaxed);
}

void shm_backend_changed(struct shm *shm, uint32_t place)
{
	MUST(place < SHM_BACKENDS_MAX);
	atomic_fetch_add_explicit(&shm_shared(shm)->backends[place].epoch, 1, memory_order_release);
}

void shm_slot_use(struct shm *shm, uint32_t slot)
{
	struct shm_master *master = shm_master(shm);

	MUST(slot < SHM_SLOTS);
	if (slot >= master->slots)
		master->slots = slot + 1;
}

/* What a worker wrote there may be anything. */
static bool shm_journal_is_true(const struct shm *shm, const struct journal *journal)
{
	for (uint64_t i = 0; i < journal->pending; i++) {
		if (i == JOURNAL_MOST || journal->writes[i].at % sizeof(uint64_t) != 0 ||
			journal->writes[i].at > shm->slot_bytes - sizeof(uint64_t))
			return false;
	}
	return true;
}

void shm_slot_redo(struct shm *shm, uint32_t slot)
{
	struct shm_slot *own = shm_slot(shm, slot);

	if (shm_journal_is_true(shm, &own->journal))
		journal_write(own, &own->journal, own->journal.pending);
	own->journal.pending = 0;
}

void shm_records_clear(struct shm *shm, uint32_t slot)
{
	const size_t bytes = shm->slot_bytes - shm->records_at;
	char *records = (char *)shm_record(shm, slot, 0);

	shm_slot(shm, slot)->records = 0;
	/* The pages go back; where that cannot be, all of them are touched. */
	if (madvise(records, bytes, MADV_REMOVE) < 0)
		memset(records, 0, bytes);
}

uint32_t shm_slot_take(struct shm *shm)
{
	struct shm_master *master = shm_master(shm);

	for (uint32_t i = 0; i < SHM_SLOTS; i++) {
		if (i < master->slots && shm_slot(shm, i)->state != SLOT_FREE)
			continue;
		shm_slot(shm, i)->state = SLOT_STARTING;
		shm_slot_use(shm, i);
		return i;
	}
	return SHM_NONE;
}
