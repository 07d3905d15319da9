"""Every setting of the project. What differs between machines comes from the environment.

`.env.example` explains each name; a `.env` file beside it is read when there is one.
"""

from datetime import date
from ipaddress import ip_network
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = BASE_DIR / ".data"

env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")

# --- The machine -------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=True)
SECRET_KEY = env.str("SECRET_KEY", default="")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
if not DEBUG and not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set. With DEBUG=False the office only starts with a secret of its own: "
        "put SECRET_KEY=<50 random characters> into the environment or .env."
    )
if not DEBUG and not ALLOWED_HOSTS:
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS is not set. With DEBUG=False name the hosts that serve the office, "
        "for example ALLOWED_HOSTS=office.example.co.ke."
    )
if DEBUG and not SECRET_KEY:
    SECRET_KEY = "laptop-only-sessions-end-when-debug-is-turned-off"  # noqa: S105

CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
HTTPS = env.bool("HTTPS", default=not DEBUG)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
if env.bool("BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Safaricom posts callbacks over plain HTTP on the sandbox only; production is HTTPS end to end.
SESSION_COOKIE_AGE = env.int("SESSION_MINUTES", default=60) * 60
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

# --- The house ---------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.inlines",
    "unfold.contrib.import_export",
    "unfold.contrib.simple_history",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "import_export",
    "simple_history",
    "django_q",
    "lms.staff",
    "lms.customers",
    "lms.ledger",
    "lms.tills",
    "lms.payments",
    "lms.notifications",
    "lms.mpesa",
    "lms.loans",
    "lms.referrals",
    "lms.payouts",
    "lms.reports",
    "lms.imports",
    "lms.reconciliation",
    "lms.closing",
    "lms.backoffice",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "lms.views.PastThePages",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "lms.backoffice.sessions.StayLoggedIn",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
]
ROOT_URLCONF = "lms.urls"
WSGI_APPLICATION = "lms.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Data --------------------------------------------------------------------------------------
DATABASES = {
    "default": env.db_url_config(
        env.str("DATABASE_URL", default="") or f"sqlite:///{DATA_DIR / 'office.sqlite3'}"
    )
}
# Covering columns of an index are PostgreSQL's alone; SQLite has the index without them.
SILENCED_SYSTEM_CHECKS = ["models.W040"]
ON_SQLITE = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
if ON_SQLITE:
    # Two writers wait for one another instead of failing, and an acknowledged commit survives
    # a power cut (FULL). Without IMMEDIATE a transaction that reads before it writes is refused.
    # With recursive triggers, those of posted rows also hear of a row that REPLACE takes away.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
        "PRAGMA cache_size=-64000; PRAGMA mmap_size=134217728; "
        "PRAGMA recursive_triggers=ON;",
    }
    DATA_DIR.mkdir(exist_ok=True)
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    # Our statements are short and come again: they are planned once a connection. A pooler in
    # between must know prepared statements (PgBouncer does from 1.21 on).
    DATABASES["default"]["OPTIONS"] = {"server_side_binding": True, "prepare_threshold": 5}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
STATIC_ROOT = env.str("STATIC_ROOT", default="") or BASE_DIR / ".static"
MEDIA_ROOT = env.str("MEDIA_ROOT", default="") or DATA_DIR / "files"
# Customer files are served by the admin alone, to staff who may see the customer.
MEDIA_URL = "/admin/files/"
STATIC_FROM_SOURCE = env.bool("STATIC_FROM_SOURCE", default=DEBUG)
WHITENOISE_USE_FINDERS = STATIC_FROM_SOURCE
WHITENOISE_AUTOREFRESH = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if STATIC_FROM_SOURCE
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000

# --- People ------------------------------------------------------------------------------------
AUTH_USER_MODEL = "staff.Staff"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

# --- The look of the office (lms/backoffice says what each callable returns) ----------------------
# The label beside the title, so that nobody posts real money on a demo.
LMS_ENVIRONMENT = env.str("LMS_ENVIRONMENT", default="Laptop")
# Whole shillings of an instalment's principal and interest that may stay unpaid without a loan
# counting as late.
ARREARS_TOLERANCE = env.int("ARREARS_TOLERANCE", default=10)
# Whether unpaid penalties count there too, so that they alone keep a loan late.
PENALTIES_MAKE_ARREARS = env.bool("PENALTIES_MAKE_ARREARS", default=False)
# Whole shillings for who brought a customer that paid the first loan back; 0 for none. At most so
# many rewards a referrer and calendar month; 0 for no limit.
REFERRAL_REWARD = env.int("REFERRAL_REWARD", default=0)
REFERRAL_MONTHLY_CAP = env.int("REFERRAL_MONTHLY_CAP", default=5)
# Days before it are mistyped years: the books refuse them.
BOOKS_BEGIN = date.fromisoformat(env.str("BOOKS_BEGIN", default="2015-01-01"))
LENDER_NAME = env.str("LENDER_NAME", default="Pesa Kwanza Credit")
UNFOLD = {
    "SITE_TITLE": f"{LENDER_NAME} · Loan office",
    "SITE_HEADER": "Loan office",
    "SITE_SUBHEADER": LENDER_NAME,
    "SITE_SYMBOL": "account_balance",
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "ENVIRONMENT": "lms.backoffice.site.environment",
    "COLORS": {"primary": "lms.backoffice.site.palette"},
    "STYLES": ["lms.backoffice.site.stylesheet"],
    "DASHBOARD_CALLBACK": "lms.backoffice.dashboard.figures_of_today",
    "COMMAND": {"search_callback": "lms.backoffice.search.search"},
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": "lms.backoffice.sidebar.navigation",
    },
}

# --- Language and time -------------------------------------------------------------------------
LANGUAGE_CODE = "en"
USE_I18N = True
TIME_ZONE = "Africa/Nairobi"
USE_TZ = True
FORMAT_MODULE_PATH = "lms.backoffice.formats"

# --- Jobs --------------------------------------------------------------------------------------
# The queue lives in the business database: a job queued with the money rolls back with the money.
# A task is delivered again after `retry`, so `retry` is longer than `timeout`; every task is
# idempotent by its data.
Q_CLUSTER = {
    "name": "lms",
    "orm": "default",
    "workers": env.int("WORKERS", default=2),
    "timeout": 1800,
    "retry": 1860,
    "queue_limit": 1,
    "bulk": 1,
    "max_attempts": 3,
    "ack_failures": False,
    "catch_up": False,
    "save_limit": 250,
    "poll": 1,
    "recycle": 200,
    "label": "Jobs",
}

# --- Messages ----------------------------------------------------------------------------------
SMS_CHANNEL = env.str("SMS_CHANNEL", default="console")  # console | africastalking
EMAIL_CHANNEL = env.str("EMAIL_CHANNEL", default="console")  # console | django
AFRICASTALKING_USERNAME = env.str("AFRICASTALKING_USERNAME", default="sandbox")
AFRICASTALKING_API_KEY = env.str("AFRICASTALKING_API_KEY", default="")
AFRICASTALKING_SENDER_ID = env.str("AFRICASTALKING_SENDER_ID", default="")
AFRICASTALKING_URL = env.str("AFRICASTALKING_URL", default="")
vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="office@localhost")

# Days before an instalment is due, and days late, on which its customer is reminded of it.
REMIND_DAYS_BEFORE = env.int("REMIND_DAYS_BEFORE", default=3)
REMIND_DAYS_LATE = env.list("REMIND_DAYS_LATE", cast=int, default=[1, 3, 7])
REMIND_THEN_EVERY = env.int("REMIND_THEN_EVERY", default=7)

# --- M-Pesa (Safaricom Daraja) -----------------------------------------------------------------
DARAJA_URL = env.str("DARAJA_URL", default="https://sandbox.safaricom.co.ke")
DARAJA_CONSUMER_KEY = env.str("DARAJA_CONSUMER_KEY", default="")
DARAJA_CONSUMER_SECRET = env.str("DARAJA_CONSUMER_SECRET", default="")
DARAJA_SHORTCODE = env.str("DARAJA_SHORTCODE", default="174379")
DARAJA_PASSKEY = env.str("DARAJA_PASSKEY", default="")
DARAJA_TIMEOUT = env.int("DARAJA_TIMEOUT", default=20)
DARAJA_CONNECT_TIMEOUT = env.int("DARAJA_CONNECT_TIMEOUT", default=5)
# The version of the C2B API: v1 names the payer by a hash, v2 by a masked number.
DARAJA_C2B_VERSION = env.str("DARAJA_C2B_VERSION", default="v2")
# The shortcode money is paid out of, where it is not the paybill itself.
DARAJA_B2C_SHORTCODE = env.str("DARAJA_B2C_SHORTCODE", default="")
# v3 takes our own id of a payout, so that none is paid twice; v1 makes one of its own.
DARAJA_B2C_VERSION = env.str("DARAJA_B2C_VERSION", default="v3")
DARAJA_B2C_COMMAND = env.str("DARAJA_B2C_COMMAND", default="BusinessPayment")
# Whole shillings: of one payment to a customer, and of all of them in a day.
DARAJA_B2C_LARGEST = env.int("DARAJA_B2C_LARGEST", default=250_000)
DARAJA_B2C_DAY = env.int("DARAJA_B2C_DAY", default=5_000_000)
# 4 for a paybill, 2 for a till.
DARAJA_IDENTIFIER_TYPE = env.str("DARAJA_IDENTIFIER_TYPE", default="4")
# Who may ask for balances and payments. Their password travels encrypted to Safaricom's
# certificate; an office that would rather not keep it pastes the encrypted text instead.
DARAJA_INITIATOR = env.str("DARAJA_INITIATOR", default="")
DARAJA_INITIATOR_PASSWORD = env.str("DARAJA_INITIATOR_PASSWORD", default="")
_set_on = env.str("DARAJA_INITIATOR_PASSWORD_SET_ON", default="")
DARAJA_INITIATOR_PASSWORD_SET_ON = date.fromisoformat(_set_on) if _set_on else None
DARAJA_CERTIFICATE = env.str("DARAJA_CERTIFICATE", default="")
DARAJA_SECURITY_CREDENTIAL = env.str("DARAJA_SECURITY_CREDENTIAL", default="")
# Whole shillings in the utility account below which the first page warns; 0 for never.
DARAJA_LOW_FLOAT = env.int("DARAJA_LOW_FLOAT", default=50_000)
DARAJA_LOG_DAYS = env.int("DARAJA_LOG_DAYS", default=30)
# The phone nominated for pulling payments whose confirmation never came; without one, none is.
DARAJA_PULL_NUMBER = env.str("DARAJA_PULL_NUMBER", default="")
# Addresses or networks from which callbacks are taken; none for any. Behind a proxy of ours, the
# sender is told by what it adds to X-Forwarded-For.
DARAJA_SOURCES = env.list("DARAJA_SOURCES", default=[])
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])
for _name, _listed in (("DARAJA_SOURCES", DARAJA_SOURCES), ("TRUSTED_PROXIES", TRUSTED_PROXIES)):
    for _place in _listed:
        if _place == "unix" and _name == "TRUSTED_PROXIES":
            continue
        try:
            ip_network(_place.strip(), strict=False)
        except ValueError as _error:
            raise ImproperlyConfigured(
                f"{_name} has “{_place}” in it, which is no address or network."
            ) from _error
# Where Safaricom reaches us, and the hex token in the path that only Safaricom is told.
DARAJA_CALLBACK_BASE = env.str("DARAJA_CALLBACK_BASE", default="http://127.0.0.1:8000")
DARAJA_CALLBACK_SECRET = env.str("DARAJA_CALLBACK_SECRET", default="")

# --- Files staff bring -------------------------------------------------------------------------
IMPORT_INLINE_ROWS = env.int("IMPORT_INLINE_ROWS", default=2000)
IMPORT_MAX_MEGABYTES = env.int("IMPORT_MAX_MEGABYTES", default=32)
IMPORT_EXPORT_SKIP_ADMIN_LOG = True
SIMPLE_HISTORY_REVERT_DISABLED = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
}
