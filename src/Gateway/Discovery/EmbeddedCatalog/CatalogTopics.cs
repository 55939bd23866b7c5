namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>What a blocking query can wait for.</summary>
internal enum TopicKind
{
    /// <summary>The list of service names and tags.</summary>
    Services,

    /// <summary>Registrations of one service.</summary>
    Definition,

    /// <summary>Registrations and checks of one service, and the node's checks.</summary>
    Health,

    /// <summary>Checks of one service.</summary>
    Checks,

    /// <summary>Every check.</summary>
    State,

    /// <summary>The node itself.</summary>
    Node,

    /// <summary>One key.</summary>
    Key,

    /// <summary>All keys with a prefix.</summary>
    KeyPrefix,
}

/// <summary>One thing to wait for; the name is that of a service, a key or a prefix.</summary>
internal readonly record struct Topic(TopicKind Kind, string Name = "");

/// <summary>
/// Who waits for what. A change fires only the topics it touches, so a thousand watchers of other services sleep on. Not
/// thread-safe: the store's lock guards it.
/// </summary>
internal sealed class CatalogTopics
{
    private readonly Dictionary<Topic, Signal> _signals = [];

    /// <summary>Watchers at the moment.</summary>
    public int Count => _signals.Values.Sum(s => s.Watchers);

    /// <summary>Joins the watchers of a topic. Leave with <see cref="Leave"/>.</summary>
    public Signal Join(Topic topic)
    {
        if (!_signals.TryGetValue(topic, out Signal? signal))
        {
            _signals.Add(topic, signal = new Signal());
        }

        signal.Watchers++;
        return signal;
    }

    /// <summary>Leaves a topic that may have fired meanwhile.</summary>
    public void Leave(Topic topic, Signal signal)
    {
        if (--signal.Watchers == 0 && _signals.TryGetValue(topic, out Signal? present) && present == signal)
        {
            _signals.Remove(topic);
        }
    }

    /// <summary>Wakes the watchers of a topic.</summary>
    public void Fire(Topic topic)
    {
        if (_signals.Remove(topic, out Signal? signal))
        {
            signal.Fired.TrySetResult();
        }
    }

    /// <summary>Wakes the watchers of every topic of a kind: a node's check concerns each service on the node.</summary>
    public void FireAll(TopicKind kind)
    {
        foreach (Topic topic in _signals.Keys.Where(t => t.Kind == kind).ToArray())
        {
            Fire(topic);
        }
    }

    /// <summary>Wakes the watchers of a key and of every prefix of it.</summary>
    public void FireKey(string key)
    {
        Fire(new Topic(TopicKind.Key, key));
        foreach (Topic topic in _signals.Keys
            .Where(t => t.Kind == TopicKind.KeyPrefix && key.StartsWith(t.Name, StringComparison.Ordinal)).ToArray())
        {
            Fire(topic);
        }
    }

    /// <summary>Fires once; its watchers run elsewhere, never under the store's lock.</summary>
    internal sealed class Signal
    {
        public TaskCompletionSource Fired { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int Watchers { get; set; }
    }
}
