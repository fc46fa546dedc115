/*
 * A PKCS#11 module for tests, with tokens that can misbehave. What it is lies beside it:
 *
 *   FILE.conf    its tokens, each followed by its objects; everything but numbers in hexadecimal, - for
 *                nothing:
 *                token LABEL SERIAL FLAGS MINPIN MAXPIN [SLOT]
 *                cert ID DER
 *                public ID
 *                key ID MODULUS EXPONENT ALWAYS
 *   FILE.pin.N   of the token in slot N: tries left, and the PIN
 *   FILE.pad     the PIN that is typed on the device
 *   FILE.fault   CALL FAULT: what goes wrong in that call, see below
 *   FILE.log     what became of each PIN
 *   FILE.child   a process that the module started
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <io.h>
#include <process.h>
#include <windows.h>
#define EXPORT __declspec(dllexport)
#define nap(ms) Sleep(ms)
#pragma pack(push, 1)
#else
#include <dlfcn.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/types.h>
#include <unistd.h>
#define EXPORT __attribute__((visibility("default")))
#define nap(ms) usleep((ms) * 1000)
#endif

typedef unsigned long ulong;
typedef unsigned char byte;

typedef struct { byte major, minor; } version;
typedef struct { byte description[64], manufacturer[32]; ulong flags; version hardware, firmware; } slot_info;
typedef struct {
	byte label[32], manufacturer[32], model[16], serial[16];
	ulong flags, max_sessions, sessions, max_rw, rw, max_pin, min_pin, total_public, free_public, total_private, free_private;
	version hardware, firmware;
	byte time[16];
} token_info;
typedef struct { ulong type; void *value; ulong len; } attribute;
typedef struct { ulong mechanism; void *parameter; ulong len; } mechanism;
typedef struct { version v; void *f[68]; } function_list;

#ifdef _WIN32
#pragma pack(pop)
#endif

enum { OK = 0, GENERAL_ERROR = 5, NOT_SUPPORTED = 0x54, PIN_INCORRECT = 0xA0, PIN_LOCKED = 0xA4, SESSION_INVALID = 0xB3,
	TOKEN_NOT_PRESENT = 0xE0, NOT_LOGGED_IN = 0x101, ALREADY_LOGGED_IN = 0x100, READ_ONLY = 0xB5, ATTRIBUTE_INVALID = 0x12,
	BUFFER_TOO_SMALL = 0x150, DEVICE_REMOVED = 0x32 };

#define MOST 24
#define LIE ((ulong)1 << 31)

static struct object { int slot; ulong class; byte id[64]; int id_len; byte *der; int der_len; byte n[512], d[512]; int size; int always; } objects[MOST];
static struct { char label[33], serial[17], slot[65]; ulong flags, min_pin, max_pin; } tokens[MOST];
static int object_count, token_count;
static struct { int open, slot, rw, next, context; ulong class; byte id[64]; int id_len; struct object *key; } sessions[64];
static int logged_in[MOST];
static int stays; /* logged in, though it said otherwise */
static char self[1024];

/* Files. */

static FILE *beside(const char *suffix, const char *mode) {
	char path[1200];
	snprintf(path, sizeof path, "%s%s", self, suffix);
	return fopen(path, mode);
}

static void note(const char *what) {
	FILE *f = beside(".log", "a");
	if (f) { fprintf(f, "%s\n", what); fclose(f); }
}

static int unhex(const char *s, byte *out, int most) {
	int n = 0;
	unsigned b;
	for (; n < most && sscanf(s, "%2x", &b) == 1; s += 2) out[n++] = (byte)b;
	return n;
}

static void read_config(void) {
	static char line[64 * 1024];
	FILE *f = beside(".conf", "r");
	object_count = token_count = 0;
	while (f && fgets(line, sizeof line, f)) {
		char *word[8] = {0};
		int words = 0;
		for (char *w = strtok(line, " \r\n"); w && words < 8; w = strtok(NULL, " \r\n")) word[words++] = w;
		if (words >= 6 && !strcmp(word[0], "token")) {
			memset(&tokens[token_count], 0, sizeof tokens[0]);
			unhex(word[1], (byte *)tokens[token_count].label, 32);
			unhex(word[2], (byte *)tokens[token_count].serial, 16);
			tokens[token_count].flags = strtoul(word[3], NULL, 16);
			tokens[token_count].min_pin = strtoul(word[4], NULL, 10);
			tokens[token_count].max_pin = strtoul(word[5], NULL, 10);
			if (words == 7) unhex(word[6], (byte *)tokens[token_count].slot, 64);
			token_count++;
		}
		struct object *o = &objects[object_count];
		memset(o, 0, sizeof *o);
		o->slot = token_count - 1;
		if (words >= 2) o->id_len = unhex(word[1], o->id, sizeof o->id);
		if (words == 3 && !strcmp(word[0], "cert")) {
			o->class = 1;
			o->der = malloc(strlen(word[2]) / 2);
			o->der_len = unhex(word[2], o->der, (int)strlen(word[2]) / 2);
			object_count++;
		}
		if (words == 2 && !strcmp(word[0], "public")) { o->class = 2; object_count++; }
		if (words == 5 && !strcmp(word[0], "key")) {
			o->class = 3;
			o->size = unhex(word[2], o->n, sizeof o->n);
			unhex(word[3], o->d, sizeof o->d);
			o->always = atoi(word[4]);
			object_count++;
		}
	}
	if (f) fclose(f);
}

static void read_pin(int slot, int *tries, char *pin) {
	char suffix[32];
	snprintf(suffix, sizeof suffix, ".pin.%d", slot);
	FILE *f = beside(suffix, "r");
	*tries = 0;
	pin[0] = 0;
	if (f) { if (fscanf(f, "%d %255s", tries, pin) != 2) *tries = 0; fclose(f); }
}

static void write_pin(int slot, int tries, const char *pin) {
	char suffix[32];
	snprintf(suffix, sizeof suffix, ".pin.%d", slot);
	FILE *f = beside(suffix, "w");
	if (f) { fprintf(f, "%d %s\n", tries, pin); fclose(f); }
}

/* Faults: crash, hang, exit, eat (half a gigabyte, then hang), leak (32 MB), lie (about a length, or that it logged out), print (the
 * PIN), environ (printed, and whether memory may be dumped), gone (the token), fork and daemon (a process that stays, the second out of
 * its group; then hang), or a CK_RV in hexadecimal. */

static char fault_kind[32];

#ifndef _WIN32
static void leave_child(int daemon) {
	if (fork() == 0) {
		if (daemon) setsid();
		FILE *f = beside(".child", "w");
		if (f) { fprintf(f, "%d\n", (int)getpid()); fclose(f); }
		for (;;) nap(1000);
	}
	for (;;) nap(1000);
}
#endif

static ulong fault(const char *call) {
	char where[64];
	FILE *f = beside(".fault", "r");
	fault_kind[0] = 0;
	if (!f) return OK;
	int n = fscanf(f, "%63s %31s", where, fault_kind);
	fclose(f);
	if (n != 2 || strcmp(where, call)) { fault_kind[0] = 0; return OK; }
	if (!strcmp(fault_kind, "crash")) { volatile int *volatile nowhere = 0; *nowhere = 1; }
	if (!strcmp(fault_kind, "exit")) _exit(0);
	if (!strcmp(fault_kind, "hang")) for (;;) nap(1000);
	if (!strcmp(fault_kind, "eat")) for (int i = 0;; i++) { byte *p = i < 64 ? malloc(8 << 20) : NULL; if (p) memset(p, 1, 8 << 20); nap(5); }
	if (!strcmp(fault_kind, "leak")) {
		static byte *volatile leaked;
		leaked = malloc(32 << 20);
		if (leaked) memset(leaked, 1, 32 << 20);
		return OK;
	}
	if (!strcmp(fault_kind, "environ")) {
		for (char **e = environ; *e; e++) fprintf(stderr, "%s\n", *e);
#ifdef __linux__
		fprintf(stderr, "dumpable %d\n", prctl(PR_GET_DUMPABLE));
#endif
		return OK;
	}
#ifndef _WIN32
	if (!strcmp(fault_kind, "fork")) leave_child(0);
	if (!strcmp(fault_kind, "daemon")) leave_child(1);
#endif
	if (!strcmp(fault_kind, "gone")) return DEVICE_REMOVED;
	return strtoul(fault_kind, NULL, 16);
}

static int lies(void) { return !strcmp(fault_kind, "lie"); }

#define ENTER(call) do { ulong rv = fault(call); if (rv != OK && !lies()) return rv; } while (0)

/* RSA: x = m^d mod n, Montgomery's way, of 32-bit words, least significant first. */

#define WORDS 128

static void mont(uint32_t *r, const uint32_t *a, const uint32_t *b, const uint32_t *n, uint32_t n0, int k) {
	uint32_t t[WORDS + 2] = {0};
	for (int i = 0; i < k; i++) {
		uint64_t c = 0;
		for (int j = 0; j < k; j++) { c += (uint64_t)a[j] * b[i] + t[j]; t[j] = (uint32_t)c; c >>= 32; }
		c += t[k]; t[k] = (uint32_t)c; t[k + 1] = (uint32_t)(c >> 32);
		uint32_t m = t[0] * n0;
		c = ((uint64_t)m * n[0] + t[0]) >> 32;
		for (int j = 1; j < k; j++) { c += (uint64_t)m * n[j] + t[j]; t[j - 1] = (uint32_t)c; c >>= 32; }
		c += t[k]; t[k - 1] = (uint32_t)c;
		t[k] = t[k + 1] + (uint32_t)(c >> 32);
	}
	int64_t borrow = 0;
	uint32_t s[WORDS];
	for (int j = 0; j < k; j++) { borrow += (int64_t)t[j] - n[j]; s[j] = (uint32_t)borrow; borrow >>= 32; }
	memcpy(r, borrow + (int64_t)t[k] < 0 ? t : s, 4 * k);
}

static void words_of(uint32_t *w, const byte *b, int size) {
	for (int i = 0; i < size / 4; i++) {
		const byte *p = b + size - 4 * (i + 1);
		w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	}
}

static void rsa(const struct object *key, const byte *in, byte *out) {
	int k = key->size / 4;
	uint32_t n[WORDS], m[WORDS], x[WORDS], r2[WORDS] = {0}, one[WORDS] = {1};
	words_of(n, key->n, key->size);
	words_of(m, in, key->size);
	uint32_t n0 = 1;
	for (int i = 0; i < 5; i++) n0 *= 2 - n[0] * n0;
	n0 = -n0;
	r2[0] = 1; /* doubled until it is R^2 mod n */
	for (int i = 0; i < 64 * k; i++) {
		uint32_t carry = 0;
		for (int j = 0; j < k; j++) { uint32_t next = r2[j] >> 31; r2[j] = r2[j] << 1 | carry; carry = next; }
		int64_t borrow = 0;
		uint32_t s[WORDS];
		for (int j = 0; j < k; j++) { borrow += (int64_t)r2[j] - n[j]; s[j] = (uint32_t)borrow; borrow >>= 32; }
		if (borrow + (int64_t)carry >= 0) memcpy(r2, s, 4 * k);
	}
	mont(m, m, r2, n, n0, k);
	mont(x, one, r2, n, n0, k);
	for (int i = 0; i < key->size; i++)
		for (int bit = 7; bit >= 0; bit--) {
			mont(x, x, x, n, n0, k);
			if (key->d[i] >> bit & 1) mont(x, x, m, n, n0, k);
		}
	mont(x, x, one, n, n0, k);
	for (int i = 0; i < k; i++) {
		byte *p = out + key->size - 4 * (i + 1);
		p[0] = x[i] >> 24; p[1] = x[i] >> 16; p[2] = x[i] >> 8; p[3] = x[i];
	}
}

/* The functions. */

static void blank(byte *to, int n, const char *s) {
	memset(to, ' ', n);
	memcpy(to, s, strlen(s) < (size_t)n ? strlen(s) : (size_t)n);
}

static ulong C_Initialize(void *args) { (void)args; ENTER("C_Initialize"); read_config(); printf("the fake module starts\n"); fflush(stdout); return OK; }
static ulong C_Finalize(void *r) { (void)r; ENTER("C_Finalize"); return OK; }
static ulong C_GetInfo(void *info) { memset(info, 0, 32); return OK; }

static ulong C_GetSlotList(byte present, ulong *list, ulong *count) {
	(void)present;
	ENTER("C_GetSlotList");
	read_config();
	for (int i = 0; list && i < token_count; i++) list[i] = i;
	*count = lies() ? LIE : (ulong)token_count;
	return OK;
}

static ulong C_GetSlotInfo(ulong slot, slot_info *info) {
	ENTER("C_GetSlotInfo");
	char name[64];
	memset(info, 0, sizeof *info);
	snprintf(name, sizeof name, "Fake slot %lu", slot);
	blank(info->description, 64, slot < (ulong)token_count && tokens[slot].slot[0] ? tokens[slot].slot : name);
	blank(info->manufacturer, 32, "Fake");
	return OK;
}

static ulong C_GetTokenInfo(ulong slot, token_info *info) {
	ENTER("C_GetTokenInfo");
	int tries;
	char pin[256];
	read_config();
	if (slot >= (ulong)token_count) return TOKEN_NOT_PRESENT;
	read_pin((int)slot, &tries, pin);
	memset(info, 0, sizeof *info);
	memset(info->label, ' ', 32);
	memcpy(info->label, tokens[slot].label, strlen(tokens[slot].label));
	blank(info->manufacturer, 32, "Fake");
	blank(info->model, 16, "one");
	blank(info->serial, 16, tokens[slot].serial);
	info->flags = 0x40C | tokens[slot].flags; /* initialised, with a PIN, login required */
	if (tries < 3) info->flags |= 0x10000;
	if (tries == 1) info->flags |= 0x20000;
	if (tries == 0) info->flags |= 0x40000;
	info->min_pin = tokens[slot].min_pin;
	info->max_pin = tokens[slot].max_pin;
	return OK;
}

static ulong C_GetMechanismList(ulong slot, ulong *list, ulong *count) {
	(void)slot;
	ENTER("C_GetMechanismList");
	if (list) list[0] = 1;
	*count = lies() ? LIE : 1;
	return OK;
}

static ulong C_OpenSession(ulong slot, ulong flags, void *a, void *b, ulong *handle) {
	(void)a; (void)b;
	ENTER("C_OpenSession");
	if (slot >= (ulong)token_count) return TOKEN_NOT_PRESENT;
	for (int i = 1; i < 64; i++)
		if (!sessions[i].open) {
			memset(&sessions[i], 0, sizeof sessions[i]);
			sessions[i].open = 1;
			sessions[i].slot = (int)slot;
			sessions[i].rw = (flags & 2) != 0;
			*handle = i;
			return OK;
		}
	return GENERAL_ERROR;
}

static ulong C_CloseSession(ulong s) {
	if (s >= 64 || !sessions[s].open) return SESSION_INVALID;
	sessions[s].open = 0;
	int left = 0;
	for (int i = 1; i < 64; i++) left += sessions[i].open && sessions[i].slot == sessions[s].slot;
	if (!left && !stays) logged_in[sessions[s].slot] = 0;
	return OK;
}

static ulong C_CloseAllSessions(ulong slot) {
	for (int i = 1; i < 64; i++) if (sessions[i].slot == (int)slot) sessions[i].open = 0;
	if (slot < MOST) logged_in[slot] = stays = 0;
	return OK;
}

/* compare counts tries, and blocks after three. */
static ulong compare(int slot, const byte *pin, ulong len, const char *call) {
	int tries;
	char right[256], line[64], pad[256] = "";
	read_pin(slot, &tries, right);
	if (pin == NULL) {
		if (!(tokens[slot].flags & 0x100)) return 7; /* arguments bad */
		FILE *f = beside(".pad", "r");
		if (f) { if (fscanf(f, "%255s", pad) != 1) pad[0] = 0; fclose(f); }
		pin = (byte *)pad;
		len = (ulong)strlen(pad);
	}
	if (!strcmp(fault_kind, "print")) {
		printf("%s with PIN %.*s\n", call, (int)len, pin);
		fflush(stdout);
		fprintf(stderr, "%s with PIN %.*s\n", call, (int)len, pin);
		for (ulong i = 0; i < len; i++) fprintf(stderr, "%02X ", pin[i]);
		fprintf(stderr, "\nafter it\n");
	}
	if (tries == 0) { snprintf(line, sizeof line, "%s locked", call); note(line); return PIN_LOCKED; }
	int good = len == strlen(right) && !memcmp(pin, right, len);
	write_pin(slot, good ? 3 : tries - 1, right);
	snprintf(line, sizeof line, "%s %s", call, good ? "right" : "wrong");
	note(line);
	if (good) return OK;
	return tries == 1 ? PIN_LOCKED : PIN_INCORRECT;
}

static ulong C_Login(ulong s, ulong user, byte *pin, ulong len) {
	ENTER(user == 2 ? "C_Login2" : "C_Login"); /* the second of a key that wants it for each signature */
	if (s >= 64 || !sessions[s].open) return SESSION_INVALID;
	int slot = sessions[s].slot;
	if (user == 1 && logged_in[slot]) return ALREADY_LOGGED_IN;
	if (user != 1 && user != 2) return NOT_SUPPORTED;
	ulong rv = compare(slot, pin, len, user == 1 ? "login" : "again");
	if (rv == OK && user == 1) logged_in[slot] = 1;
	if (rv == OK && user == 2) sessions[s].context = 1;
	return rv;
}

static ulong C_Logout(ulong s) {
	ENTER("C_Logout");
	if (s >= 64 || !sessions[s].open) return SESSION_INVALID;
	if (!logged_in[sessions[s].slot]) return NOT_LOGGED_IN;
	if (lies()) { stays = 1; return OK; }
	logged_in[sessions[s].slot] = 0;
	note("logout");
	return OK;
}

static ulong C_SetPIN(ulong s, byte *old, ulong old_len, byte *fresh, ulong fresh_len) {
	ENTER("C_SetPIN");
	char pin[256] = "";
	if (s >= 64 || !sessions[s].open) return SESSION_INVALID;
	if (!sessions[s].rw) return READ_ONLY;
	ulong rv = compare(sessions[s].slot, old, old_len, "set");
	if (rv != OK) return rv;
	if (fresh_len == 0 || fresh_len > 255) return GENERAL_ERROR;
	memcpy(pin, fresh, fresh_len);
	write_pin(sessions[s].slot, 3, pin);
	return OK;
}

static ulong C_FindObjectsInit(ulong s, attribute *t, ulong count) {
	ENTER("C_FindObjectsInit");
	if (s >= 64 || !sessions[s].open) return SESSION_INVALID;
	sessions[s].next = 0;
	sessions[s].class = (ulong)-1;
	sessions[s].id_len = -1;
	for (ulong i = 0; i < count; i++) {
		if (t[i].type == 0) memcpy(&sessions[s].class, t[i].value, sizeof(ulong));
		if (t[i].type == 0x102 && t[i].len <= 64) { sessions[s].id_len = (int)t[i].len; memcpy(sessions[s].id, t[i].value, t[i].len); }
	}
	return OK;
}

static ulong C_FindObjects(ulong s, ulong *found, ulong most, ulong *count) {
	ENTER("C_FindObjects");
	if (s >= 64 || !sessions[s].open) return SESSION_INVALID;
	*count = 0;
	for (; sessions[s].next < object_count && *count < most; sessions[s].next++) {
		struct object *o = &objects[sessions[s].next];
		if (o->slot != sessions[s].slot || o->class != sessions[s].class) continue;
		if (o->class == 3 && !logged_in[o->slot]) continue;
		if (sessions[s].id_len >= 0 && (o->id_len != sessions[s].id_len || memcmp(o->id, sessions[s].id, o->id_len))) continue;
		found[(*count)++] = sessions[s].next + 1;
	}
	if (lies()) *count = LIE;
	return OK;
}

static ulong C_FindObjectsFinal(ulong s) { (void)s; return OK; }

static ulong C_GetAttributeValue(ulong s, ulong object, attribute *t, ulong count) {
	ENTER("C_GetAttributeValue");
	if (s >= 64 || !sessions[s].open) return SESSION_INVALID;
	if (object < 1 || object > (ulong)object_count) return 0x82;
	struct object *o = &objects[object - 1];
	byte always = (byte)o->always;
	ulong rv = OK;
	for (ulong i = 0; i < count; i++) {
		const void *value = NULL;
		ulong len = 0;
		switch (t[i].type) {
		case 0x11: value = o->der; len = o->der_len; break;
		case 0x102: value = o->id; len = o->id_len; break;
		case 0x120: if (o->class == 3) { value = o->n; len = o->size; } break;
		case 0x202: if (o->class == 3) { value = &always; len = 1; } break;
		}
		if (!value) { t[i].len = (ulong)-1; rv = ATTRIBUTE_INVALID; continue; }
		if (t[i].value && t[i].len >= len) memcpy(t[i].value, value, len);
		t[i].len = lies() ? LIE : len;
	}
	return rv;
}

static ulong C_SignInit(ulong s, mechanism *m, ulong key) {
	ENTER("C_SignInit");
	if (s >= 64 || !sessions[s].open) return SESSION_INVALID;
	if (m->mechanism != 1) return 0x70;
	if (key < 1 || key > (ulong)object_count || objects[key - 1].class != 3) return 0x60;
	if (!logged_in[sessions[s].slot]) return NOT_LOGGED_IN;
	sessions[s].key = &objects[key - 1];
	sessions[s].context = 0;
	return OK;
}

static ulong C_Sign(ulong s, byte *data, ulong len, byte *signature, ulong *size) {
	ENTER("C_Sign");
	if (s >= 64 || !sessions[s].open) return SESSION_INVALID;
	struct object *key = sessions[s].key;
	if (!key) return 0x91;
	if (lies()) { *size = LIE; return OK; }
	if (!signature) { *size = key->size; return OK; }
	if (*size < (ulong)key->size) { *size = key->size; return BUFFER_TOO_SMALL; }
	if (key->always && !sessions[s].context) return NOT_LOGGED_IN;
	byte block[512];
	memset(block, 0xFF, key->size);
	block[0] = 0;
	block[1] = 1;
	block[key->size - len - 1] = 0;
	memcpy(block + key->size - len, data, len);
	rsa(key, block, signature);
	*size = key->size;
	sessions[s].key = NULL;
	return OK;
}

static ulong unsupported(void) { return NOT_SUPPORTED; }

static function_list list;

EXPORT ulong C_GetFunctionList(function_list **out) {
#ifdef _WIN32
	HMODULE me = NULL;
	GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, (LPCSTR)&list, &me);
	GetModuleFileNameA(me, self, sizeof self);
#else
	Dl_info info;
	if (dladdr((void *)&list, &info)) snprintf(self, sizeof self, "%s", info.dli_fname);
#endif
	list.v.major = 2;
	list.v.minor = 40;
	for (int i = 0; i < 68; i++) list.f[i] = (void *)unsupported;
	list.f[0] = (void *)C_Initialize;
	list.f[1] = (void *)C_Finalize;
	list.f[2] = (void *)C_GetInfo;
	list.f[3] = (void *)C_GetFunctionList;
	list.f[4] = (void *)C_GetSlotList;
	list.f[5] = (void *)C_GetSlotInfo;
	list.f[6] = (void *)C_GetTokenInfo;
	list.f[7] = (void *)C_GetMechanismList;
	list.f[11] = (void *)C_SetPIN;
	list.f[12] = (void *)C_OpenSession;
	list.f[13] = (void *)C_CloseSession;
	list.f[14] = (void *)C_CloseAllSessions;
	list.f[18] = (void *)C_Login;
	list.f[19] = (void *)C_Logout;
	list.f[24] = (void *)C_GetAttributeValue;
	list.f[26] = (void *)C_FindObjectsInit;
	list.f[27] = (void *)C_FindObjects;
	list.f[28] = (void *)C_FindObjectsFinal;
	list.f[42] = (void *)C_SignInit;
	list.f[43] = (void *)C_Sign;
	*out = &list;
	return OK;
}
