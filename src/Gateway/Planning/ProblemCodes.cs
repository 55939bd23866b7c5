namespace Gateway.Planning;

/// <summary>The stable codes of what the planner objects to. Alerts and searches hang on them: never rename one.</summary>
internal static class ProblemCodes
{
    /// <summary>A tag carries one of our prefixes, or contains one, and is none of our grammar.</summary>
    public const string TagMalformed = "tag-malformed";

    /// <summary>A listen tag's port is not 1-65535, or has leading zeros.</summary>
    public const string PortInvalid = "port-invalid";

    /// <summary>A host tag's host or path prefix could never match a request.</summary>
    public const string HostInvalid = "host-invalid";

    /// <summary>A key that is no key of a services entry.</summary>
    public const string KeyUnknown = "key-unknown";

    /// <summary>A value that its key does not take.</summary>
    public const string ValueInvalid = "value-invalid";

    /// <summary>A feature of the contract that this version does not have yet.</summary>
    public const string NotBuilt = "not-built-yet";

    /// <summary>One instance says two things of one key.</summary>
    public const string SettingTwice = "setting-twice";

    /// <summary>Instances of one cluster say different things of one key.</summary>
    public const string InstancesDisagree = "instances-disagree";

    /// <summary>It cannot be told which environment an instance belongs to.</summary>
    public const string EnvironmentUnclear = "environment-unclear";

    /// <summary>The options name an environment that they do not define.</summary>
    public const string EnvironmentUnknown = "environment-unknown";

    /// <summary>An instance's address cannot be connected to.</summary>
    public const string AddressUnusable = "address-unusable";

    /// <summary>An instance's port is not 1-65535.</summary>
    public const string PortUnusable = "port-unusable";

    /// <summary>An instance is registered for UDP.</summary>
    public const string UdpUnsupported = "udp-unsupported";

    /// <summary>Two catalogs, or one twice, describe the same instance differently.</summary>
    public const string InstanceTwice = "instance-twice";

    /// <summary>Two static services have one name.</summary>
    public const string StaticTwice = "static-twice";

    /// <summary>A destination is one of our own listeners.</summary>
    public const string LoopDestination = "loop-destination";

    /// <summary>The environment's port rule makes no port of a tag's port.</summary>
    public const string PortImpossible = "port-impossible";

    /// <summary>Somebody else owns the port.</summary>
    public const string PortTaken = "port-taken";

    /// <summary>The environment's host rule makes no host of a tag's host.</summary>
    public const string HostImpossible = "host-impossible";

    /// <summary>Somebody else owns the host and path.</summary>
    public const string HostTaken = "host-taken";

    /// <summary>A host tag is carried by instances of several ports of one service.</summary>
    public const string HostAmbiguous = "host-ambiguous";

    /// <summary>The code for a value that its key refused; without a key it is the key that is wrong.</summary>
    public static string Of(SettingKey? key, SettingFault fault) => key is null ? KeyUnknown
        : fault == SettingFault.NotBuilt ? NotBuilt
        : ValueInvalid;
}
