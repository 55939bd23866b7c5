using System.Collections.Frozen;

namespace Gateway.Catalog;

/// <summary>How bad it is.</summary>
internal enum ProblemSeverity
{
    /// <summary>Something is not served, or will not be after a restart.</summary>
    Error,

    /// <summary>Something that was asked for is not in force, or at risk.</summary>
    Warning,

    /// <summary>Worth knowing.</summary>
    Info,
}

/// <summary>Whose fault it is, which is: who can mend it.</summary>
internal enum ProblemFault
{
    /// <summary>Whoever registers the service: a tag, an address.</summary>
    Catalog,

    /// <summary>The service's own program.</summary>
    Instance,

    /// <summary>This machine: ports, limits, disk, memory.</summary>
    Host,

    /// <summary>Gateway's configuration, its files and keys.</summary>
    Configuration,

    /// <summary>Consul, or the way to it.</summary>
    Consul,

    /// <summary>Gateway itself.</summary>
    Gateway,
}

/// <summary>One code: how bad, whose fault, what it means, what to do next.</summary>
internal sealed record ProblemKind(string Code, ProblemSeverity Severity, ProblemFault Fault, string Means, string Do);

/// <summary>The one table of all codes. A test holds that every code is in it and used, and that the README shows it.</summary>
internal static class ProblemTable
{
    private static readonly ProblemKind s_foreign = new(
        "", ProblemSeverity.Warning, ProblemFault.Catalog, "a problem of a source that the embedding program brought", "see the source's own documentation");

    /// <summary>All, in the order of the README.</summary>
    public static readonly IReadOnlyList<ProblemKind> All =
    [
        // Of registrations.
        Of(ProblemCodes.TagMalformed, ProblemSeverity.Warning, ProblemFault.Catalog,
            "a tag begins like one of Gateway's and is none", "correct the tag where the service is registered"),
        Of(ProblemCodes.PortInvalid, ProblemSeverity.Warning, ProblemFault.Catalog,
            "the port of a listen tag is not 1-65535, or has leading zeros", "correct the tag where the service is registered"),
        Of(ProblemCodes.HostInvalid, ProblemSeverity.Warning, ProblemFault.Catalog,
            "the host or path prefix of a tag or of external.hosts could never match a request", "correct the tag or the entry"),
        Of(ProblemCodes.KeyUnknown, ProblemSeverity.Warning, ProblemFault.Catalog,
            "a gateway- tag, Meta or services key that does not exist", "use the key proposed, or remove it"),
        Of(ProblemCodes.ValueInvalid, ProblemSeverity.Warning, ProblemFault.Catalog,
            "a value that its key does not take", "write one of the values allowed"),
        Of(ProblemCodes.NotBuilt, ProblemSeverity.Warning, ProblemFault.Catalog,
            "a feature that this version does not have yet", "do without it, or wait for the version that has it"),
        Of(ProblemCodes.SettingTwice, ProblemSeverity.Warning, ProblemFault.Catalog,
            "one instance says two things of one key", "keep one of the two"),
        Of(ProblemCodes.InstancesDisagree, ProblemSeverity.Warning, ProblemFault.Catalog,
            "instances of one service say different things of one key", "register all instances with the same value; during a rollout, wait for its end"),
        Of(ProblemCodes.EnvironmentUnclear, ProblemSeverity.Error, ProblemFault.Catalog,
            "it cannot be told which environment an instance belongs to, so it takes no traffic",
            "add the tag of its environment (production, staging, …) to the registration"),
        Of(ProblemCodes.EnvironmentUnknown, ProblemSeverity.Warning, ProblemFault.Configuration,
            "the configuration names an environment that it does not define", "define it under environments, or correct the name"),
        Of(ProblemCodes.AddressUnusable, ProblemSeverity.Error, ProblemFault.Catalog,
            "an instance's address cannot be connected to", "register it with an address that this host can reach"),
        Of(ProblemCodes.PortUnusable, ProblemSeverity.Error, ProblemFault.Catalog,
            "an instance's port is not 1-65535", "register it with the port that it listens on"),
        Of(ProblemCodes.UdpUnsupported, ProblemSeverity.Warning, ProblemFault.Catalog,
            "an instance is registered for UDP", "take the listen tags off that registration; UDP is reached directly"),
        Of(ProblemCodes.InstanceTwice, ProblemSeverity.Warning, ProblemFault.Catalog,
            "two catalogs, or one twice, describe the same instance differently", "remove one of the two registrations"),
        Of(ProblemCodes.StaticTwice, ProblemSeverity.Error, ProblemFault.Configuration,
            "two static services have one name", "rename or remove one"),
        Of(ProblemCodes.LoopDestination, ProblemSeverity.Error, ProblemFault.Catalog,
            "an instance is registered with one of Gateway's own ports, so requests would go round in a circle",
            "register the port that the program itself listens on"),
        Of(ProblemCodes.PortImpossible, ProblemSeverity.Warning, ProblemFault.Catalog,
            "an environment's port rule makes no port of a tag's port (1{port} of 70000)", "choose a port from 1 to 9999, or change the rule"),
        Of(ProblemCodes.PortTaken, ProblemSeverity.Error, ProblemFault.Catalog,
            "another service, or Gateway itself, owns the port", "agree who has it, and change the other's listen tag"),
        Of(ProblemCodes.HostImpossible, ProblemSeverity.Warning, ProblemFault.Catalog,
            "an environment's host rule makes no host of a tag's host", "change the host tag, or the rule"),
        Of(ProblemCodes.HostTaken, ProblemSeverity.Error, ProblemFault.Catalog,
            "another service owns the host and path", "agree who has it, and change the other's host tag"),
        Of(ProblemCodes.HostAmbiguous, ProblemSeverity.Warning, ProblemFault.Catalog,
            "a host tag is carried by instances of several ports of one service", "put the host tag on the instances of one port only"),

        // Of sockets.
        Of(ProblemCodes.PortInUse, ProblemSeverity.Error, ProblemFault.Host,
            "another program holds a port", "stop that program (its pid is named), or give the service another port; it is bound by itself then"),
        Of(ProblemCodes.PortNotPermitted, ProblemSeverity.Error, ProblemFault.Host,
            "Gateway's user may not bind a port below net.ipv4.ip_unprivileged_port_start",
            "grant CAP_NET_BIND_SERVICE (AmbientCapabilities of the unit), or lower that sysctl"),
        Of(ProblemCodes.AddressNotAvailable, ProblemSeverity.Error, ProblemFault.Host,
            "an address to listen on is not this host's", "bring the address up, or correct it; it is bound by itself then"),
        Of(ProblemCodes.BindFailed, ProblemSeverity.Error, ProblemFault.Host,
            "a port cannot be bound for another reason", "see the system's own words"),
        Of(ProblemCodes.InterfaceNotFound, ProblemSeverity.Warning, ProblemFault.Host,
            "internal.addresses names an interface that is not there, or has no address", "bring it up, or correct the name; it is bound by itself then"),
        Of(ProblemCodes.DescriptorLimit, ProblemSeverity.Error, ProblemFault.Host,
            "the process has no descriptors left: new connections wait in the kernel (accept starvation)",
            "raise LimitNOFILE (or ulimit -n) and restart, or lower limits.maxConnections"),
        Of(ProblemCodes.AcceptFailed, ProblemSeverity.Error, ProblemFault.Host,
            "a port is bound and cannot accept: new connections wait in the kernel",
            "nothing while it heals by itself; if it stays, restart the gateway and report what the log says"),

        // Of Consul.
        Of(ProblemCodes.ConsulUnreachable, ProblemSeverity.Error, ProblemFault.Consul,
            "Consul does not answer; the last catalog stays in force", "start the Consul agent there, or correct catalog.consul.address"),
        Of(ProblemCodes.ConsulForbidden, ProblemSeverity.Error, ProblemFault.Configuration,
            "Consul refuses the token", "put a token with service and node read into catalog.consul.tokenFile; it is read at once"),
        Of(ProblemCodes.ConsulBadAnswer, ProblemSeverity.Error, ProblemFault.Consul,
            "what answers is not Consul, or its answer is cut short", "ask the URL by curl and see who answers; a proxy in between is a usual cause"),
        Of(ProblemCodes.ConsulError, ProblemSeverity.Error, ProblemFault.Consul,
            "Consul answers with an error", "see Consul's log on that agent; 500 No cluster leader means that its servers have no quorum"),
        Of(ProblemCodes.ConsulDoubtful, ProblemSeverity.Warning, ProblemFault.Consul,
            "Consul answers without a leader, far behind it, or filtered by ACL: it may add, and removes nothing",
            "see 'consul operator raft list-peers' and the token's rights"),
        Of(ProblemCodes.ConsulNotReadYet, ProblemSeverity.Warning, ProblemFault.Consul,
            "a service is known by name and could not be read yet", "wait a minute; if it stays, ask the URL by curl"),
        Of(ProblemCodes.ConsulNotUtf8, ProblemSeverity.Warning, ProblemFault.Catalog,
            "a registration holds bytes that are not UTF-8", "correct the registration"),
        Of(ProblemCodes.ConsulWatchLimit, ProblemSeverity.Warning, ProblemFault.Consul,
            "the agent allows fewer connections than one watch per service needs",
            "raise limits.http_max_conns_per_client of the agent above the number of routed services + 24"),
        Of(ProblemCodes.ConsulTokenUnreadable, ProblemSeverity.Error, ProblemFault.Configuration,
            "the token file cannot be read", "make it readable for Gateway's user; it is read at once"),
        Of(ProblemCodes.ConsulTlsUnusable, ProblemSeverity.Error, ProblemFault.Configuration,
            "a file of catalog.consul.tls cannot be used", "correct the files or their names, and reload"),
        Of(ProblemCodes.KeyUnreadable, ProblemSeverity.Warning, ProblemFault.Consul,
            "the KV key of a live limit cannot be read", "give the token key read, or see Consul's log"),
        Of(ProblemCodes.LimitInvalid, ProblemSeverity.Warning, ProblemFault.Configuration,
            "the KV key of a live limit does not hold a number", "write a whole number into the key"),

        // Of file catalogs and the embedded catalog.
        Of(ProblemCodes.CatalogFileSyntax, ProblemSeverity.Error, ProblemFault.Configuration,
            "a catalog file is no YAML or JSON; what it held before stands", "correct it at the line named; it is read at once"),
        Of(ProblemCodes.CatalogFileType, ProblemSeverity.Error, ProblemFault.Configuration,
            "a value of a catalog file has the wrong type; its entry is left out", "correct it at the line named"),
        Of(ProblemCodes.CatalogFileKey, ProblemSeverity.Warning, ProblemFault.Configuration,
            "a key of a catalog file is unknown", "use the key proposed, or remove it"),
        Of(ProblemCodes.CatalogFileCheck, ProblemSeverity.Warning, ProblemFault.Configuration,
            "a catalog file holds a check, which nobody would run", "take it out; set gateway-check.* in the tags instead"),
        Of(ProblemCodes.CatalogFileDuplicate, ProblemSeverity.Warning, ProblemFault.Configuration,
            "a key or an instance stands twice in catalog files", "keep one of the two"),
        Of(ProblemCodes.CatalogFileMissing, ProblemSeverity.Error, ProblemFault.Configuration,
            "a catalog file is gone, or an entry lacks a name or an address", "put it back, or correct the entry"),
        Of(ProblemCodes.CatalogFileUnreadable, ProblemSeverity.Error, ProblemFault.Configuration,
            "a catalog file cannot be read; what it held before stands", "make it readable for Gateway's user"),
        Of(ProblemCodes.CatalogFileSize, ProblemSeverity.Error, ProblemFault.Configuration,
            "a catalog file is too large to be one", "split it, or see what wrote it"),
        Of(ProblemCodes.CatalogFolderMissing, ProblemSeverity.Error, ProblemFault.Configuration,
            "the folder of catalog.files does not exist", "create it, or correct catalog.files"),
        Of(ProblemCodes.CatalogFolderUnreadable, ProblemSeverity.Error, ProblemFault.Configuration,
            "the folder of catalog.files cannot be read", "make it readable for Gateway's user"),
        Of(ProblemCodes.CatalogJournalTorn, ProblemSeverity.Info, ProblemFault.Host,
            "the embedded catalog's last write was cut by a crash; nothing acknowledged is lost", "nothing; it is gone after the next restart"),
        Of(ProblemCodes.CatalogJournalCorrupt, ProblemSeverity.Error, ProblemFault.Host,
            "the embedded catalog's file is damaged; it was set aside", "check the disk; register again what does not register itself"),
        Of(ProblemCodes.CatalogJournalWrite, ProblemSeverity.Error, ProblemFault.Host,
            "the embedded catalog cannot write; it refuses registrations", "free space in the state directory, or mend the disk"),

        // Of the memory over restarts, and of the guard.
        Of(ProblemCodes.LastKnownGoodServes, ProblemSeverity.Warning, ProblemFault.Consul,
            "a source has not answered since the start; its last known good serves", "bring the source back (see what is said of it above)"),
        Of(ProblemCodes.LastKnownGoodUnwritable, ProblemSeverity.Error, ProblemFault.Host,
            "the last known good cannot be written; a restart without Consul would serve an older catalog",
            "free space in the state directory, or mend its permissions"),
        Of(ProblemCodes.LastKnownGoodUnreadable, ProblemSeverity.Error, ProblemFault.Host,
            "the last known good cannot be read", "mend the permissions of the state directory"),
        Of(ProblemCodes.LastKnownGoodCorrupt, ProblemSeverity.Warning, ProblemFault.Host,
            "a file of the last known good is damaged; the one before it was used", "check the disk; remove the file"),
        Of(ProblemCodes.RemovalHeld, ProblemSeverity.Warning, ProblemFault.Consul,
            "many instances vanished from the catalog at once and still answer, so they are kept for a while",
            "find out why the catalog lost them; if it is right, let them go with 'gateway accept SERVICE'"),

        // Of the edge, the process and its configuration.
        Of(ProblemCodes.CertificateUnusable, ProblemSeverity.Error, ProblemFault.Configuration,
            "a certificate file cannot be used; the one before serves on", "write chain and key again; the file is read at once"),
        Of(ProblemCodes.CertificatesMissing, ProblemSeverity.Error, ProblemFault.Configuration,
            "there is no certificate in external.certificates", "put *.pem there, or correct external.certificates"),
        Of(ProblemCodes.CertificateExpires, ProblemSeverity.Warning, ProblemFault.Configuration,
            "a certificate ends within 14 days, has ended, or is not valid yet", "renew it and replace the file; it is read at once"),
        Of(ProblemCodes.CertificateDefaultMissing, ProblemSeverity.Warning, ProblemFault.Configuration,
            "external.defaultCertificate names no file that there is", "correct the name, or put the file there"),
        Of(ProblemCodes.AccessLogUnwritable, ProblemSeverity.Warning, ProblemFault.Host,
            "the access log cannot be written; its lines are lost", "free space, or mend the file's permissions"),
        Of(ProblemCodes.NeedsUpgrade, ProblemSeverity.Info, ProblemFault.Configuration,
            "a changed value takes effect only in a new process", "restart Gateway when it suits"),
        Of(ProblemCodes.ReloadRefused, ProblemSeverity.Error, ProblemFault.Configuration,
            "the configuration file has an error and was not loaded; a restart would fail", "correct it ('gateway check' says where) and 'gateway reload'"),

        // Of the doctor alone.
        Of(ProblemCodes.GatewayUnreachable, ProblemSeverity.Error, ProblemFault.Gateway,
            "no gateway answers on the unix socket", "start it; if it runs, name its state directory with --state DIR and be its user or root"),
        Of(ProblemCodes.GatewayNotReady, ProblemSeverity.Warning, ProblemFault.Gateway,
            "Gateway runs and is not ready: it starts or drains", "while starting it waits for the first catalog: see its sources"),
        Of(ProblemCodes.ConfigurationInvalid, ProblemSeverity.Error, ProblemFault.Configuration,
            "the configuration has an error; Gateway would not start with it", "correct it at the place named; 'gateway check' shows all"),
        Of(ProblemCodes.ConfigurationDoubtful, ProblemSeverity.Info, ProblemFault.Configuration,
            "the configuration holds something worth a look", "see 'gateway check'"),
        Of(ProblemCodes.ServiceWithoutInstance, ProblemSeverity.Error, ProblemFault.Instance,
            "no instance of a service can take traffic: it answers 503", "look at its instances, one by one, for the reason named"),
        Of(ProblemCodes.ConsulNoLeader, ProblemSeverity.Error, ProblemFault.Consul,
            "Consul has no leader: no registration changes anything", "restore the quorum of Consul's servers ('consul operator raft list-peers')"),
        Of(ProblemCodes.CatalogOld, ProblemSeverity.Warning, ProblemFault.Consul,
            "a source has not confirmed its catalog for minutes", "see whether the source answers; restart its agent if it hangs"),
        Of(ProblemCodes.ClockSkew, ProblemSeverity.Warning, ProblemFault.Host,
            "this host's clock and Consul's differ by more than 5 s", "start chrony or systemd-timesyncd on the one that is wrong"),
        Of(ProblemCodes.ConnectionsAtLimit, ProblemSeverity.Error, ProblemFault.Configuration,
            "as many connections are open as may be: further ones wait in the kernel",
            "raise the limit at the place named; see who holds connections in 'gateway listeners'"),
        Of(ProblemCodes.ConnectionsNearLimit, ProblemSeverity.Warning, ProblemFault.Configuration,
            "more than 80 % of the connections allowed are open", "raise the limit at the place named before it is reached"),
        Of(ProblemCodes.LimitLowered, ProblemSeverity.Warning, ProblemFault.Host,
            "the descriptor limit does not carry the connections wanted, so fewer are allowed",
            "raise LimitNOFILE (or ulimit -n) to twice the connections + 1000 and restart, or ask for fewer connections"),
        Of(ProblemCodes.PortsEphemeral, ProblemSeverity.Warning, ProblemFault.Host,
            "ports to listen on lie in the range of outgoing connections, one of which may hold such a port at the next start",
            "reserve them: sysctl -w net.ipv4.ip_local_reserved_ports=LIST, and in /etc/sysctl.d"),
        Of(ProblemCodes.AcceptQueueShort, ProblemSeverity.Warning, ProblemFault.Host,
            "net.core.somaxconn is small: a burst of new connections overflows the queue and clients wait a second or more",
            "sysctl -w net.core.somaxconn=4096, and in /etc/sysctl.d"),
        Of(ProblemCodes.MemoryShort, ProblemSeverity.Error, ProblemFault.Host,
            "more than 90 % of the memory that the control group allows is in use: the kernel is about to kill the process",
            "raise the limit (MemoryMax of the unit, or of the container)"),
        Of(ProblemCodes.CpuThrottled, ProblemSeverity.Warning, ProblemFault.Host,
            "the control group's CPU limit holds the process back, which shows as latency",
            "raise the limit (CPUQuota of the unit, or of the container)"),
        Of(ProblemCodes.StateDirectoryUnusable, ProblemSeverity.Error, ProblemFault.Host,
            "the state directory cannot be used; Gateway would not start", "create it for Gateway's user, or name another one"),
        Of(ProblemCodes.StateDirectoryOpen, ProblemSeverity.Warning, ProblemFault.Host,
            "others than its user may reach the sockets in run/, and so command Gateway", "chmod 700 it"),
        Of(ProblemCodes.StateDiskShort, ProblemSeverity.Warning, ProblemFault.Host,
            "the disk of the state directory is almost full", "free space there"),
    ];

    private static readonly FrozenDictionary<string, ProblemKind> s_byCode = All.ToFrozenDictionary(k => k.Code, StringComparer.Ordinal);

    /// <summary>The entry of a code; one in general terms for the code of an embedding program's own source.</summary>
    public static ProblemKind Find(string code) => s_byCode.GetValueOrDefault(code) ?? s_foreign with { Code = code };

    private static ProblemKind Of(string code, ProblemSeverity severity, ProblemFault fault, string means, string @do) =>
        new(code, severity, fault, means, @do);
}
