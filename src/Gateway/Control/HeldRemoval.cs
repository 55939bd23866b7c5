using Gateway.Catalog;

namespace Gateway.Control;

/// <summary>
/// An instance that its source dropped together with many others. While it is asked whether it still answers, and as long as it
/// does, it stays in the catalog. Owned by its <see cref="CatalogGuard"/>, on the control loop.
/// </summary>
/// <param name="instance">As it was last reported.</param>
/// <param name="began">When it was held, as a timestamp of the clock.</param>
/// <param name="since">The same for people.</param>
/// <param name="why">What the source did, for people.</param>
internal sealed class HeldRemoval(Instance instance, long began, DateTimeOffset since, string why)
{
    /// <summary>The instance.</summary>
    public Instance Instance => instance;

    /// <summary>When it was held, as a timestamp of the clock.</summary>
    public long Began => began;

    /// <summary>When it was held.</summary>
    public DateTimeOffset Since => since;

    /// <summary>What the source did.</summary>
    public string Why => why;

    /// <summary>A probe has reached it since; until then it is only asked.</summary>
    public bool Reached { get; set; }

    /// <summary>
    /// It is in the effective catalog. One that had gone before the drop became a mass comes back only once a probe reaches it.
    /// </summary>
    public bool Shown { get; set; }

    /// <summary>A probe or a question to the source is under way.</summary>
    public bool Probing { get; set; }

    /// <summary>The source is being asked.</summary>
    public bool Confirming { get; set; }

    /// <summary>When the last probe ended, as a timestamp; null before the first.</summary>
    public long? Probed { get; set; }

    /// <summary>When the source was last asked in vain, as a timestamp; null: never.</summary>
    public long? Confirmed { get; set; }

    /// <summary>What the last probe saw.</summary>
    public string? Evidence { get; set; }
}

/// <summary>A held removal at one moment, for people and for the disk.</summary>
/// <param name="Source">Name of the source that dropped it.</param>
/// <param name="Instance">As it was last reported.</param>
/// <param name="Since">Since when it is held.</param>
/// <param name="Until">When the source is asked to confirm its absence.</param>
/// <param name="Why">What the source did.</param>
/// <param name="Evidence">What the last probe saw.</param>
internal sealed record HeldView(
    string Source, Instance Instance, DateTimeOffset Since, DateTimeOffset Until, string Why, string? Evidence);
