namespace Gateway.Discovery.Consul;

// What one request to Consul came to. A failure is a value: nothing here is thrown between rooms.

/// <summary>Ways in which a request fails.</summary>
internal enum ConsulFailureKind
{
    /// <summary>No connection: refused, no route, no name, TLS.</summary>
    Unreachable,

    /// <summary>A connection was made, and ended before the answer did.</summary>
    Reset,

    /// <summary>No whole answer within the deadline.</summary>
    Silent,

    /// <summary>401 or 403.</summary>
    Forbidden,

    /// <summary>429.</summary>
    TooMany,

    /// <summary>Any other status than 200.</summary>
    Status,

    /// <summary>200 with a body that is not what was asked for.</summary>
    BadAnswer,
}

/// <summary>Why a request failed, and what was seen, in words for an operator.</summary>
internal sealed record ConsulFailure(ConsulFailureKind Kind, string Seen);

/// <summary>An answer with its headers, or a failure.</summary>
internal sealed record ConsulReply<T>
    where T : class
{
    /// <summary>What was asked: the URL without token and index.</summary>
    public required string Place { get; init; }

    /// <summary>The body, null where the request failed.</summary>
    public T? Value { get; init; }

    /// <summary>Why it failed, null where it did not.</summary>
    public ConsulFailure? Failure { get; init; }

    /// <summary>X-Consul-Index; 0 where it is missing or not a number.</summary>
    public ulong Index { get; init; }

    /// <summary>X-Consul-KnownLeader; true where it is missing.</summary>
    public bool KnownLeader { get; init; } = true;

    /// <summary>X-Consul-LastContact: how old the answering server's knowledge is.</summary>
    public TimeSpan LastContact { get; init; }

    /// <summary>X-Consul-Results-Filtered-By-ACLs: our token does not see everything.</summary>
    public bool Filtered { get; init; }

    /// <summary>Date: the answering agent's clock, in whole seconds; null where it is missing.</summary>
    public DateTimeOffset? Date { get; init; }

    /// <summary>Whether bytes that are not UTF-8 were replaced by U+FFFD.</summary>
    public bool Repaired { get; init; }

    /// <summary>Length of the body.</summary>
    public int Bytes { get; init; }

    /// <summary>Why this answer must not remove anything, or null: it may come from a server that has lost touch.</summary>
    public string? Doubt(TimeSpan lastContactMax) =>
        !KnownLeader ? "Consul has no leader"
        : LastContact > lastContactMax ? $"the answering server is {LastContact.TotalSeconds:0} s behind the leader"
        : Filtered ? "the token does not see everything"
        : null;

    /// <summary>The same answer, found to be wrong by its content.</summary>
    public ConsulReply<T> Rejected(string seen) =>
        this with { Value = null, Failure = new ConsulFailure(ConsulFailureKind.BadAnswer, seen) };
}
