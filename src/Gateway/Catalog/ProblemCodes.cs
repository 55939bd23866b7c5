namespace Gateway.Catalog;

/// <summary>
/// Every code that a <see cref="Problem"/> of ours or a finding of the doctor may carry. Alerts and searches hang on them: never
/// rename one. What each means and what to do stands in <see cref="ProblemTable"/>.
/// </summary>
internal static class ProblemCodes
{
    // Of registrations: tags, Meta, addresses.
    public const string TagMalformed = "tag-malformed";
    public const string PortInvalid = "port-invalid";
    public const string HostInvalid = "host-invalid";
    public const string KeyUnknown = "key-unknown";
    public const string ValueInvalid = "value-invalid";
    public const string NotBuilt = "not-built-yet";
    public const string SettingTwice = "setting-twice";
    public const string InstancesDisagree = "instances-disagree";
    public const string EnvironmentUnclear = "environment-unclear";
    public const string EnvironmentUnknown = "environment-unknown";
    public const string AddressUnusable = "address-unusable";
    public const string PortUnusable = "port-unusable";
    public const string UdpUnsupported = "udp-unsupported";
    public const string InstanceTwice = "instance-twice";
    public const string StaticTwice = "static-twice";
    public const string LoopDestination = "loop-destination";
    public const string PortImpossible = "port-impossible";
    public const string PortTaken = "port-taken";
    public const string HostImpossible = "host-impossible";
    public const string HostTaken = "host-taken";
    public const string HostAmbiguous = "host-ambiguous";

    // Of sockets.
    public const string PortInUse = "port-in-use";
    public const string PortNotPermitted = "port-not-permitted";
    public const string AddressNotAvailable = "address-not-available";
    public const string BindFailed = "bind-failed";
    public const string InterfaceNotFound = "interface-not-found";
    public const string DescriptorLimit = "descriptor-limit";
    public const string AcceptFailed = "accept-failed";

    // Of Consul.
    public const string ConsulUnreachable = "consul-unreachable";
    public const string ConsulForbidden = "consul-forbidden";
    public const string ConsulBadAnswer = "consul-bad-answer";
    public const string ConsulError = "consul-error";
    public const string ConsulDoubtful = "consul-doubtful";
    public const string ConsulNotReadYet = "consul-not-read-yet";
    public const string ConsulNotUtf8 = "consul-not-utf8";
    public const string ConsulWatchLimit = "consul-watch-limit";
    public const string ConsulTokenUnreadable = "consul-token-unreadable";
    public const string ConsulTlsUnusable = "consul-tls-unusable";
    public const string KeyUnreadable = "key-unreadable";
    public const string LimitInvalid = "limit-invalid";

    // Of file catalogs and the embedded catalog.
    public const string CatalogFileSyntax = "catalog-file-syntax";
    public const string CatalogFileType = "catalog-file-type";
    public const string CatalogFileKey = "catalog-file-key";
    public const string CatalogFileCheck = "catalog-file-check";
    public const string CatalogFileDuplicate = "catalog-file-duplicate";
    public const string CatalogFileMissing = "catalog-file-missing";
    public const string CatalogFileUnreadable = "catalog-file-unreadable";
    public const string CatalogFileSize = "catalog-file-size";
    public const string CatalogFolderMissing = "catalog-folder-missing";
    public const string CatalogFolderUnreadable = "catalog-folder-unreadable";
    public const string CatalogJournalTorn = "catalog-journal-torn";
    public const string CatalogJournalCorrupt = "catalog-journal-corrupt";
    public const string CatalogJournalWrite = "catalog-journal-write";

    // Of the memory over restarts, and of the guard.
    public const string LastKnownGoodServes = "last-known-good";
    public const string LastKnownGoodUnwritable = "last-known-good-unwritable";
    public const string LastKnownGoodUnreadable = "last-known-good-unreadable";
    public const string LastKnownGoodCorrupt = "last-known-good-corrupt";
    public const string RemovalHeld = "removal-held";

    // Of the edge, the process and its configuration.
    public const string CertificateUnusable = "certificate-unusable";
    public const string CertificatesMissing = "certificates-missing";
    public const string CertificateExpires = "certificate-expires";
    public const string CertificateDefaultMissing = "certificate-default-missing";
    public const string AccessLogUnwritable = "access-log-unwritable";
    public const string NeedsUpgrade = "needs-upgrade";
    public const string ReloadRefused = "reload-refused";

    // Of the doctor alone: what is no problem of one place, or is seen only when somebody looks.
    public const string GatewayUnreachable = "gateway-unreachable";
    public const string GatewayNotReady = "gateway-not-ready";
    public const string ConfigurationInvalid = "configuration-invalid";
    public const string ConfigurationDoubtful = "configuration-doubtful";
    public const string ServiceWithoutInstance = "service-without-instance";
    public const string ConsulNoLeader = "consul-no-leader";
    public const string CatalogOld = "catalog-old";
    public const string ClockSkew = "clock-skew";
    public const string ConnectionsAtLimit = "connections-at-limit";
    public const string ConnectionsNearLimit = "connections-near-limit";
    public const string LimitLowered = "limit-lowered";
    public const string PortsEphemeral = "ports-in-ephemeral-range";
    public const string AcceptQueueShort = "accept-queue-short";
    public const string MemoryShort = "memory-short";
    public const string CpuThrottled = "cpu-throttled";
    public const string StateDirectoryUnusable = "state-directory-unusable";
    public const string StateDirectoryOpen = "state-directory-open";
    public const string StateDiskShort = "state-disk-short";
}
