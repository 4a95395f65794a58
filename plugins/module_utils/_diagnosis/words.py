# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages that services log when they fail, and the cause that each proves, as data. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Sources: errno(3) for the phrases that the libraries of every language repeat,
and the sources and public reports of the programs named in
tests/unit/plugins/module_utils/diagnosis/failure_lines.tsv. Patterns ask for
whole phrases: ``timeout=30`` is a setting, not a time-out. Where a line fits
two rules the earlier one takes it, so the rule that knows which call failed
goes before the one that knows only its error: ``permission denied`` of a bind
is about a port, ``no space left`` of inotify is not about a disk.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import (
    CONFIGURATION,
    CRASH,
    DEPENDENCY,
    HARD,
    NETWORK,
    RESOURCE,
    SOFT,
    FailureCase,
    Rule,
)

ADDRESS_IN_USE = (
    r"address (?:is )?already in use|\bEADDRINUSE\b|BindException|\bAddrInUse\b|PortAlreadyInUse|Connection in use: "
    r"|port\S{0,3} .{0,60}already (?:in use|allocated|running)|already running on port|still could not bind\(\)"
    r"|failed to bind to \S{0,80}:\d{1,5}$"
)
_UNAVAILABLE = r"cannot assign requested address|\bEADDRNOTAVAIL\b|\bAddrNotAvailable\b|address not available"
_DENIED = r"permission denied|operation not permitted|\bEACCES\b|\bEPERM\b|AccessDeniedException|access is denied"
_NO_FILE = r"no such file or directory|\bENOENT\b|FileNotFoundException(?!.*denied)|NoSuchFileException|file not found"
_CANNOT = r"(?:cannot|can't|could ?n(?:o|')t|failed to|unable to|error)"
# A Unix socket is a file: to bind one takes a permission on its directory, not one for a port.
_NO_UNIX = r"^(?!.*(?:\bunix(?::| /|gram| socket| domain)|\.sock\b))"
_WATCHES = r"(?:inotify|fsnotify|file watch\w{0,5}|directory watch|watch limit)"
_WATCHED = rf"{_WATCHES}.{{0,120}}(?:no space left|too many open files|limit\b)|OS file watch limit"
_FULL_OF_WATCHES = rf"(?:ENOSPC|EMFILE|no space left on device|too many open files).{{0,120}}(?:{_WATCHES}|,? watch\b)"


def _full_disks(case: FailureCase, _evidence: t.Sequence[str]) -> str:
    return ", ".join(case.host.full_disks[:2])


# A special case of tls_failed: the guide has the rule for all others.
CLOCK_IS_BEHIND = Rule(
    "tls_failed", NETWORK, HARD, "a certificate is not yet valid by the clock of this host",
    "check the clock of this host first (timedatectl), then the certificate's dates",
    pattern=r"(?<!has expired or is )not yet valid|not yet valid: current time \S{10,40} is before"
    r"|CertificateNotYetValid|\bNotBefore: |invalid peer certificate: NotValidYet",
)  # fmt: skip
# Most specific first: a line that one rule takes proves no other.
WORDS: tuple[Rule, ...] = (
    Rule(
        "watches_exhausted", RESOURCE, SOFT, "this host's limit of file watches (inotify) is used up",
        "raise fs.inotify.max_user_watches or fs.inotify.max_user_instances (sysctl), then start it; no disk is full",
        pattern=rf"{_WATCHED}|{_FULL_OF_WATCHES}",
    ),
    Rule(
        "ports_exhausted", RESOURCE, SOFT, "this host has no local port left for another connection to a peer",
        "see ss -s for connections in TIME-WAIT; let it reuse connections, or widen net.ipv4.ip_local_port_range",
        pattern=rf"\bconnect\w{{0,3}}\W{{1,4}}(?:error: )?(?:{_UNAVAILABLE})|connect\(\).{{0,80}} failed \(99: ",
    ),
    Rule(
        "address_not_available", CONFIGURATION, HARD, "this host does not have the address that it wants to listen on",
        "compare the address with ip address; bring the interface or virtual address up, or correct the address",
        pattern=_UNAVAILABLE,
    ),
    Rule(
        "port_not_permitted", CONFIGURATION, HARD, "it is not permitted to listen on its port",
        "a port below 1024 needs AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit file, or another port",
        pattern=rf"{_NO_UNIX}.*(?:\b(?:bind|listen)\w{{0,6}}\b.{{0,120}}(?:permission denied|\bEACCES\b)"
        r"|BindException: Permission denied|permission denied.{0,60}\b(?:bind|listen)"
        r"|SocketException: Permission denied)",
    ),
    Rule(
        "address_in_use", RESOURCE, HARD, "an address that it wants to listen on is in use",
        "stop what holds the port (ss -ltnp), or give one of the two another port",
        pattern=ADDRESS_IN_USE, detail=FailureCase.port_holders,
    ),
    Rule(
        "processes_exhausted", RESOURCE, SOFT, "it could not create another process or thread",
        "raise TasksMax= (or LimitNPROC=), and look for what holds so many (systemctl status)",
        pattern=r"fork\w{0,8}\W.{0,80}resource temporarily unavailable"
        r"|can(?:'t|not) (?:start|create) (?:a )?new (?:native )?thread"
        r"|unable to create (?:a )?(?:new )?native thread|cannot fork|fork failed|failed to start thread"
        r"|pthread_create failed|BlockingIOError: \[Errno 11\] Resource temporarily unavailable$"
        r"|newosproc|failed to create new OS thread",
    ),
    Rule(
        "socket_missing", DEPENDENCY, SOFT, "the socket of a service on this host that it needs is not there",
        "start the service that makes the socket that the evidence names, or correct the path",
        pattern=rf"(?:dial unix|connect\w{{0,3}}(?:\(\))? to .{{0,40}}(?:\bunix:|socket)).{{0,200}}(?:{_NO_FILE})"
        r"|connect ENOENT|cannot connect to the docker daemon|can't connect to local .{1,20} through socket",
    ),
    Rule(
        "database_locked", RESOURCE, HARD, "another process has its database open",
        "find it (fuser or lsof on the lock file) and stop it; deleting the lock file does not help",
        pattern=r"While lock file: |lock hold by current process|LockObtainFailedException|obtain node locks?"
        r"|lock DB directory|Unable to lock \S{1,80} error: 11|may be already in use: .{0,10}Locked",
    ),
    Rule(
        "lock_held", RESOURCE, HARD, "another process holds a lock or PID file that it needs",
        "see whether another instance runs (fuser or lsof on the file) and stop it, or remove a stale PID file",
        pattern=r"\b(?:held|locked|used|in use|open(?:ed)?) by (?:another|some)|someone else has the lock"
        r"|another (?:instance|process|program|copy|postmaster|server)\b.{0,80}\b(?:running|using|has|holds?|locked)"
        rf"|{_CANNOT} (?:acquire|obtain|get|take) .{{0,40}}\block\b|lock\b.{{0,120}}could not be acquired"
        r"|(?:lock|pid) ?file .{1,120}already exists|(?:instance|server|daemon) (?:is )?already running"
        r"|already running\b.{0,20}\bpid\b|\block.{0,80}(?:WouldBlock|resource temporarily unavailable)",
    ),
    Rule(
        "lock_held", RESOURCE, SOFT, "another process is using a resource that it needs",
        "find it (fuser or lsof on what the evidence names); a new start is worth an attempt",
        pattern=r"database (?:file |table )?is locked|device or resource busy|\bEBUSY\b|text file busy",
    ),
    Rule(
        "locks_unavailable", RESOURCE, SOFT, "the file system gives it no lock",
        "on NFS start the lock service (rpc.statd, lockd) or mount with nolock; else check cat /proc/locks",
        pattern=r"no locks available|\bENOLCK\b",
    ),
    Rule(
        "disk_full", RESOURCE, HARD, "there is no space left to write",
        "free space or enlarge the file system (df -h, df -i); a restart before that may harm its data",
        pattern=r"no space left on device|\bENOSPC\b|disk quota exceeded|\bEDQUOT\b|disk full|\bStorageFull\b",
        detail=_full_disks,
    ),
    Rule(
        "read_only_filesystem", RESOURCE, HARD, "the file system that it writes to is read-only",
        "dmesg says whether the disk had errors; else check the mount, ProtectSystem= and ReadWritePaths=",
        pattern=r"read-only file ?system|\bEROFS\b",
    ),
    Rule(
        "storage_error", RESOURCE, HARD, "its storage reports an error",
        "see dmesg for the disk; unmount and mount a network file system; a restart before that may harm its data",
        pattern=r"^(?!.*/dev/(?:std|tty|pts|fd)).*(?:input/output error|\bEIO\b|stale (?:nfs )?file handle|\bESTALE\b)",
    ),
    Rule(
        "descriptors_exhausted", RESOURCE, SOFT, "it has used up its file descriptors",
        "raise LimitNOFILE= in the unit file; a restart helps until they are used up again",
        pattern=r"too many open files|\bEMFILE\b|\bENFILE\b",
    ),
    Rule(
        "memory_exhausted", RESOURCE, SOFT, "it ran out of memory",
        "give it more memory (Java: -Xmx, and the unit's MemoryMax=), or reduce its use",
        pattern=r"OutOfMemoryError|cannot allocate memory|\bENOMEM\b|\bMemoryError\b|std::bad_alloc|\bout of memory"
        r"|insufficient memory for the Java|commit_memory\(.{0,80} failed; error=|x(?:re|m)alloc: cannot allocate",
    ),
    Rule(
        "library_missing", CONFIGURATION, HARD, "a part of the program is missing or of the wrong version",
        "install the package or version that the evidence names",
        pattern=r"error while loading shared libraries|cannot open shared object file|symbol lookup error"
        r"|\bModuleNotFoundError\b|\bImportError\b|ClassNotFoundException|NoClassDefFoundError"
        r"|UnsupportedClassVersionError|UnsatisfiedLinkError|NoSuch(?:Method|Field)Error|version [`']GLIBC"
        r"|could not find or load main class|cannot find (?:module|package)\b|NODE_MODULE_VERSION"
        r"|could not access file \"[\w$/]{1,80}\": No such file",
    ),
    Rule(
        "command_missing", CONFIGURATION, HARD, "a program that it calls is not there",
        "install it, or correct the path",
        pattern=r"command not found|: not found$|executable file not found|fork/exec \S{1,200}: no such file",
    ),
    Rule(
        "data_mismatch", CONFIGURATION, HARD, "its data belong to another version or configuration",
        "give it the data or the version that fit together (see the evidence); keep a copy before changing any",
        pattern=r"incompatible (?:genesis|with server)|data directory was initialized by"
        r"|not compatible with this version"
        r"|already been bootstrapped|cluster ?id .{0,40}(?:mismatch|doesn't match|does not match)|cluster id mismatch"
        r"|cannot (?:up|down)grade .{0,80}version|genesis.{0,60}(?:mismatch|does not match)"
        r"|unsupported (?:database|db|storage|schema) version",
    ),
    Rule(
        "database_corrupt", RESOURCE, HARD, "its database is damaged",
        "check the disk (dmesg); keep a copy of the data, then repair it or restore a backup",
        pattern=r"\bcorruption: |corrupt(?:ed)? (?:index|database|db|block|wal|segment|page|file|data)\b"
        r"|(?:database|index|wal|meta|disk image|block|page|freelist|file)\b.{0,100}\b(?:corrupt(?:ed)?|malformed)\b"
        r"|freepages: |valid checkpoint record|invalid (?:primary )?checkpoint record|invalid page in block"
        r"|not a valid data directory|bad file format reading|page corruption|bad table magic"
        r"|block checksum mismatch|checksum failed \(|CorruptIndexException",
    ),
    Rule(
        "host_not_resolved", DEPENDENCY, SOFT, "a host name cannot be resolved",
        "check the name, /etc/resolv.conf and the name server (getent hosts NAME)",
        pattern=r"name or service not known|temporary failure in name resolution|no address associated with hostname"
        r"|could not resolve host|UnknownHostException|UnresolvedAddressException|no such host\b|\bEAI_AGAIN\b"
        r"|\bENOTFOUND\b|\bNXDOMAIN\b|nodename nor servname|unable to resolve host|host not found in\b"
        r"|could not translate host name|failed to lookup address"
        r"|lookup \S{1,100}.{0,60}(?:i/o timeout|server misbehaving)",
    ),
    CLOCK_IS_BEHIND,
    Rule(
        "tls_failed", NETWORK, HARD, "a TLS connection could not be trusted or agreed on",
        "check the certificate's dates and names, the CA that is trusted here, and this host's clock",
        pattern=r"certificate.{0,20} verif\w{1,10} failed|unable to verify the first certificate"
        r"|certificate (?:has expired|signed by unknown|problem|unknown)|CertificateExpired|invalid peer certificate"
        r"|x509|SSLHandshakeException|PKIX path|self[- ]signed certificate|unable to get local issuer"
        r"|tls: (?:failed|bad|first record|handshake|protocol|unknown|private key)|remote error: tls"
        r"|handshake[ _]failure|SSL_ERROR|SSL: certificate|certificate.{0,80}(?:does not match|altnames)"
        r"|\[SSL: |wrong version number|key values mismatch|host key verification failed",
    ),
    Rule(
        "credentials_refused", CONFIGURATION, HARD, "a peer refuses its user, password or key",
        "compare the credentials that it is given with those that the peer knows",
        pattern=r"password authentication failed|access denied for user|ER_ACCESS_DENIED|\bWRONGPASS\b|\bNOAUTH\b"
        r"|permission denied \((?:[\w-]{1,40},){0,5}(?:publickey|password|keyboard-interactive|gssapi|hostbased)"
        r"|(?:Error|Exception): Authentication failed\b|unable to authenticate, attempted|invalid credentials",
        ended=True,
    ),
    Rule(
        "peer_not_ready", DEPENDENCY, SOFT, "a peer is there and cannot serve yet",
        "wait until the peer that the evidence names is up, or give it more connections",
        pattern=r"database system is (?:starting up|shutting down|in recovery)|too many (?:clients|connections)\b"
        r"|remaining connection slots|LOADING Redis",
    ),
    Rule(
        "peer_refused", DEPENDENCY, SOFT, "a peer refuses the connection: nothing listens there",
        "start the service at the address that the evidence names, or correct the address",
        pattern=r"connection (?:was )?refused|\bECONNREFUSED\b|connection to \S{1,100} refused",
    ),
    Rule(
        "no_route", NETWORK, SOFT, "there is no route to a peer",
        "check the interfaces, routes (ip route get ADDRESS) and the firewall of this host",
        pattern=r"no route to host|(?:network|host) is (?:unreachable|down)|\bEHOSTUNREACH\b|\bENETUNREACH\b",
    ),
    Rule(
        "network_timeout", NETWORK, SOFT, "a peer does not answer in time",
        "check that the peer runs and that no firewall drops the packets on the way",
        pattern=r"(?:connect\w{0,5}|read|operation|request|handshake|dial\b.{0,60}) ?timed[ -]?out"
        r"|i/o timeout|\bETIMEDOUT\b|timeout was reached|socket\.timeout: |TLS handshake timeout"
        r"|SocketTimeoutException|ConnectTimeoutException|TimeoutError\b.{0,20}timed out|context deadline exceeded"
        r"|Client\.Timeout exceeded|connect timed? ?out"
        r"|timed out (?:after|while connecting|waiting for (?:connection|response|an? ))",
    ),
    Rule(
        "peer_unreachable", DEPENDENCY, SOFT, "a peer could not be reached",
        "check that the service at the address that the evidence names runs and that this host has a way to it",
        pattern=r"could(?:n't| not) connect to server",
    ),
    Rule(
        "setting_missing", CONFIGURATION, HARD, "a setting that it needs is not given",
        "give it the setting that the evidence names (Environment=, EnvironmentFile= or its command line)",
        pattern=r"environment variable\b.{0,60}(?:not set|not found|missing|required|undefined|must be set)"
        r"|(?:missing|required) (?:required )?environment variable|set the \w{2,60} environment variable"
        r"|required (?:key|flag\(s\)|option|parameter|setting) .{0,80}(?:missing|not set|not provided)"
        r"|required arguments? (?:were|was) not provided|arguments are required: |JAVA_HOME is not"
        r"|(?-i:\b[A-Z][A-Z0-9]{1,40}_[A-Z0-9_]{1,40} (?:must be|is not|not|isn't) (?:set|defined))"
        r"|(?-i:KeyError: '[A-Z][A-Z0-9]{0,40}_[A-Z0-9_]{1,40}')|could not resolve placeholder",
    ),
    Rule(
        "bad_option", CONFIGURATION, HARD, "it does not know an option that it is given",
        "compare the option with the manual of the version that is installed",
        pattern=r"(?:unrecogni[sz]ed|unknown|unexpected) "
        r"(?:command[- ]line |long |shorthand |short |VM |configuration )?"
        r"(?:options?|arguments?|flag|parameter|directive|key|(?:sub)?command)\b"
        r"|(?:invalid|illegal|no such|bad configuration|bad) option|flag provided but not defined"
        r"|\boption \S{1,60} is unknown|unsupported (?:option|parameter)|bad configuration options"
        r"|which wasn't expected|invalid value '.{0,60}' for '-|argument -\S{1,60}: invalid"
        r"|(?:invalid|too small) (?:maximum|initial) heap|initialization of VM|heap size set to a larger value",
    ),
    Rule(
        "user_missing", CONFIGURATION, HARD, "a user or group that its configuration names does not exist",
        "create the user or group, or correct the name in its configuration",
        pattern=r"get(?:pw|gr)nam\(.{1,60}\) failed|(?:unknown|can't find) (?:user|group) ['\"]?\w",
    ),
    Rule(
        "file_missing", CONFIGURATION, HARD, "a file that it needs is not there",
        "create or restore the file that the evidence names (is a mount missing?), or correct its path",
        pattern=rf"{_NO_FILE}|unable to access jarfile|cannot be opened because it does not exist"
        r"|(?:file|directory|keystore|path)\b.{0,120} does not exist|kind: NotFound",
    ),
    Rule(
        "permission_denied", CONFIGURATION, HARD, "it lacks a permission",
        "correct owner and mode of what the evidence names, and the User= of the unit",
        pattern=rf"{_DENIED}|\bkind: PermissionDenied|access denied \(|a password is required"
        r"|has (?:invalid permissions|wrong ownership|group or world access)",
    ),
    Rule(
        "config_parse_error", CONFIGURATION, HARD, "a file of its configuration cannot be read",
        "correct the file at the place that the evidence names, or restore the last good copy",
        pattern=r"(?:syntax|pars(?:e|er|ing)|scanner|decod(?:e|er|ing)) ?error|JSONDecodeError|JsonParseException"
        r"|(?:cannot|can't|could not|failed to|unable to|error) (?:pars|decod|unmarshal|deserializ)\w{0,6}"
        r"|invalid (?:configuration|config|yaml|json|toml|xml)\b|yaml: (?:line|unmarshal)|TomlParseError"
        r"|mapping values are not allowed|expecting (?:property name|value|'[,:]')|unexpected end of (?:file|json)"
        r"|configparser\.\w{1,40}Error|unexpected token|not well-formed|ScannerException|JoranException"
        r"|invalid character .{1,12} (?:looking for|after|in )|\bin JSON at position|invalid type: .{1,80}expected"
        r"|\[emerg\] .{1,200} in /\S{1,200}:\d|configuration file \S{1,200} (?:test failed|contains errors)"
        r"|could not load \S{1,80}\.conf\b|at line \d{1,6} of \S{1,80}\.conf"
        r"|(?:error|fail\w{0,3}|invalid|bad) .{0,40}\bconfig(?:uration)?\b"
        r"|config(?:uration)?\b.{0,40} (?:is )?(?:invalid|malformed)"
        r"|\bline \d{1,6},? col(?:umn)? \d|\bline \d{1,6}:? .{0,40}(?:error|unexpected|invalid|missing)",
    ),
    Rule(
        "panic", CRASH, SOFT, "it hit an internal error and ended",
        "a restart helps once; keep the lines for its developers and check its version",
        pattern=r"^panic: |^fatal error: |thread '.{1,80}' panicked|A fatal error has been detected by the Java Runtime"
        r"|^Exception in thread |^(?:Uncaught )?(?:[\w.]{1,80}\.)?"
        r"(?:Attribute|Type|Reference|Range|Value|Name|Index|Key|Assertion|ZeroDivision|Runtime)Error\b",
        rank=58,
    ),
)  # fmt: skip
