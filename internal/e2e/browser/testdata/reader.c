/* reader.c: a PKCS #11 module (v2.40) that is one card reader, with the card's
 * software and the card's holder beside it. The cards are tokens of SoftHSM, which
 * keeps the keys, checks the PIN and signs; this module decides which of them is
 * in the reader, and types the PIN when a private key is wanted, in place of the
 * window that card software opens. A browser without a screen can so use a card
 * with a PIN: it is not asked itself, and never sees the PIN.
 *
 * The folder in $PORTTI_TEST_READER says what the holder does. It is read again at
 * each call:
 *
 *   card   label of the token in the reader; no file: no card
 *   pin    what is typed; no file: the window is cancelled
 *   pull   the card is pulled out at the next signature
 *   heard  written here, a line each: "pin right", "pin wrong", "pin cancelled",
 *          "signed", "pulled out"
 *
 * $PORTTI_TEST_HSM is the library of SoftHSM. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

#define READER ((CK_SLOT_ID)1)
#define MOST 512 /* sessions, and tokens */

static CK_FUNCTION_LIST *hsm;   /* SoftHSM's functions */
static CK_FUNCTION_LIST module; /* the same, with ours in their places */

/* The sessions that are open, and when the card was put in that each is with. */
static struct { CK_SESSION_HANDLE handle; struct timespec put; } sessions[MOST];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void path_of(const char *name, char *path, size_t size) {
  const char *folder = getenv("PORTTI_TEST_READER");
  snprintf(path, size, "%s/%s", folder ? folder : "/nonexistent", name);
}

/* holder reads a file of the holder's into text; 0 without one. */
static int holder(const char *name, char *text, size_t size) {
  char path[1024];
  path_of(name, path, sizeof path);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t n = read(file, text, size - 1);
  close(file);
  text[n > 0 ? n : 0] = 0;
  return n >= 0;
}

static void hear(const char *line) {
  char path[1024];
  path_of("heard", path, sizeof path);
  int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) return;
  if (dprintf(file, "%s\n", line) < 0) perror("reader");
  close(file);
}

/* in_reader finds the token that is in the reader. */
static int in_reader(CK_SLOT_ID *token) {
  char label[33];
  CK_SLOT_ID ids[MOST];
  CK_TOKEN_INFO info;
  CK_ULONG n;
  if (!holder("card", label, sizeof label) || !label[0]) return 0;
  /* Asked for the number alone, SoftHSM looks for new tokens. */
  if (hsm->C_GetSlotList(CK_TRUE, NULL, &n) != CKR_OK || n > MOST) return 0;
  if (hsm->C_GetSlotList(CK_TRUE, ids, &n) != CKR_OK) return 0;
  char padded[sizeof info.label];
  memset(padded, ' ', sizeof padded);
  memcpy(padded, label, strlen(label));
  for (CK_ULONG i = 0; i < n; i++)
    if (hsm->C_GetTokenInfo(ids[i], &info) == CKR_OK && !memcmp(info.label, padded, sizeof padded)) {
      *token = ids[i];
      return 1;
    }
  return 0;
}

static void forget(CK_SESSION_HANDLE session) {
  pthread_mutex_lock(&lock);
  for (int i = 0; i < MOST; i++)
    if (sessions[i].handle == session) sessions[i].handle = 0;
  pthread_mutex_unlock(&lock);
}

/* put_in is when the card was put in that is in the reader; zeros without one. */
static struct timespec put_in(void) {
  char path[1024];
  struct stat file = {0};
  path_of("card", path, sizeof path);
  if (stat(path, &file)) memset(&file, 0, sizeof file);
  return file.st_mtim;
}

/* sweep ends the sessions of cards that were taken out, also when they were put in
 * again: a session ends with its card (PKCS #11 v2.40 §2.6), and with the last one
 * the login. */
static void sweep(void) {
  struct timespec now = put_in();
  pthread_mutex_lock(&lock);
  for (int i = 0; i < MOST; i++)
    if (sessions[i].handle && (now.tv_sec != sessions[i].put.tv_sec || now.tv_nsec != sessions[i].put.tv_nsec)) {
      hsm->C_CloseSession(sessions[i].handle);
      sessions[i].handle = 0;
    }
  pthread_mutex_unlock(&lock);
}

/* alive: the card with which the session was begun is in the reader still. */
static int alive(CK_SESSION_HANDLE session) {
  int known = 0;
  sweep();
  pthread_mutex_lock(&lock);
  for (int i = 0; i < MOST; i++) known |= session && sessions[i].handle == session;
  pthread_mutex_unlock(&lock);
  return known;
}

/* ask_pin opens the window in which the holder types the PIN, unless the card has
 * had it. */
static void ask_pin(CK_SESSION_HANDLE session) {
  CK_SESSION_INFO info;
  char pin[64];
  if (hsm->C_GetSessionInfo(session, &info) != CKR_OK) return;
  if (info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS) return;
  if (!holder("pin", pin, sizeof pin)) {
    hear("pin cancelled");
    return;
  }
  CK_RV answer = hsm->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin));
  hear(answer == CKR_OK ? "pin right" : "pin wrong");
}

#define NEED_CARD(slot)                             \
  CK_SLOT_ID token;                                 \
  if ((slot) != READER) return CKR_SLOT_ID_INVALID; \
  if (!in_reader(&token)) return CKR_TOKEN_NOT_PRESENT

static CK_RV get_slot_list(CK_BBOOL with_token, CK_SLOT_ID *list, CK_ULONG *n) {
  CK_SLOT_ID token;
  CK_ULONG have = !with_token || in_reader(&token), room = *n;
  *n = have;
  if (list && room < have) return CKR_BUFFER_TOO_SMALL;
  if (list && have) list[0] = READER;
  return CKR_OK;
}

static CK_RV get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info) {
  static const char name[] = "Virtual reader";
  CK_SLOT_ID token;
  if (slot != READER) return CKR_SLOT_ID_INVALID;
  memset(info, 0, sizeof *info);
  memset(info->slotDescription, ' ', sizeof info->slotDescription);
  memset(info->manufacturerID, ' ', sizeof info->manufacturerID);
  memcpy(info->slotDescription, name, sizeof name - 1);
  info->flags = CKF_REMOVABLE_DEVICE | CKF_HW_SLOT | (in_reader(&token) ? CKF_TOKEN_PRESENT : 0);
  return CKR_OK;
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info) {
  NEED_CARD(slot);
  CK_RV answer = hsm->C_GetTokenInfo(token, info);
  info->flags &= ~(CK_FLAGS)CKF_LOGIN_REQUIRED; /* we ask for the PIN, not the browser */
  return answer;
}

static CK_RV get_mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *n) {
  NEED_CARD(slot);
  return hsm->C_GetMechanismList(token, list, n);
}

static CK_RV get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info) {
  NEED_CARD(slot);
  return hsm->C_GetMechanismInfo(token, type, info);
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *session) {
  NEED_CARD(slot);
  sweep();
  CK_RV answer = hsm->C_OpenSession(token, flags, application, notify, session);
  if (answer != CKR_OK) return answer;
  pthread_mutex_lock(&lock);
  for (int i = 0; i < MOST; i++)
    if (!sessions[i].handle) {
      sessions[i].handle = *session, sessions[i].put = put_in();
      pthread_mutex_unlock(&lock);
      return CKR_OK;
    }
  pthread_mutex_unlock(&lock);
  hsm->C_CloseSession(*session);
  return CKR_SESSION_COUNT;
}

static CK_RV close_session(CK_SESSION_HANDLE session) {
  forget(session);
  return hsm->C_CloseSession(session);
}

static CK_RV close_all_sessions(CK_SLOT_ID slot) {
  NEED_CARD(slot);
  pthread_mutex_lock(&lock);
  for (int i = 0; i < MOST; i++) sessions[i].handle = 0;
  pthread_mutex_unlock(&lock);
  return hsm->C_CloseAllSessions(token);
}

static CK_RV get_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *info) {
  if (!alive(session)) return CKR_SESSION_HANDLE_INVALID;
  CK_RV answer = hsm->C_GetSessionInfo(session, info);
  info->slotID = READER;
  return answer;
}

static CK_RV find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *want, CK_ULONG n) {
  if (!alive(session)) return CKR_DEVICE_REMOVED;
  for (CK_ULONG i = 0; i < n; i++)
    if (want[i].type == CKA_CLASS && want[i].ulValueLen == sizeof(CK_OBJECT_CLASS) && *(CK_OBJECT_CLASS *)want[i].pValue == CKO_PRIVATE_KEY)
      ask_pin(session);
  return hsm->C_FindObjectsInit(session, want, n);
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) {
  if (!alive(session)) return CKR_DEVICE_REMOVED;
  return hsm->C_SignInit(session, mechanism, key);
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG n, CK_BYTE *signature, CK_ULONG *length) {
  char path[1024], pull[8];
  if (holder("pull", pull, sizeof pull)) {
    path_of("pull", path, sizeof path);
    unlink(path);
    path_of("card", path, sizeof path);
    unlink(path);
    hear("pulled out");
  }
  if (!alive(session)) return CKR_DEVICE_REMOVED;
  CK_RV answer = hsm->C_Sign(session, data, n, signature, length);
  if (answer == CKR_OK && signature) hear("signed");
  return answer;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list) {
  const char *library = getenv("PORTTI_TEST_HSM");
  CK_C_GetFunctionList functions;
  void *handle = library ? dlopen(library, RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!handle) return CKR_GENERAL_ERROR;
  functions = (CK_C_GetFunctionList)dlsym(handle, "C_GetFunctionList");
  if (!functions || functions(&hsm) != CKR_OK) return CKR_GENERAL_ERROR;
  module = *hsm;
  module.C_GetFunctionList = C_GetFunctionList;
  module.C_GetSlotList = get_slot_list;
  module.C_GetSlotInfo = get_slot_info;
  module.C_GetTokenInfo = get_token_info;
  module.C_GetMechanismList = get_mechanism_list;
  module.C_GetMechanismInfo = get_mechanism_info;
  module.C_OpenSession = open_session;
  module.C_CloseSession = close_session;
  module.C_CloseAllSessions = close_all_sessions;
  module.C_GetSessionInfo = get_session_info;
  module.C_FindObjectsInit = find_objects_init;
  module.C_SignInit = sign_init;
  module.C_Sign = sign;
  *list = &module;
  return CKR_OK;
}
