using System.Globalization;

namespace Gateway.DataPlane.Listening;

/// <summary>How many descriptors this process may have open.</summary>
internal static class DescriptorLimit
{
    /// <summary>
    /// Descriptors that accepting leaves alone. .NET needs two for each thread it starts and one for each assembly it loads, and
    /// when a thread cannot start it ends the process: so a flood of connections must never take the last ones.
    /// </summary>
    public const int Reserve = 64;

    /// <summary>Accepted connections that may be held, one per port, beyond the mark; more are closed.</summary>
    public const int HeldMax = Reserve / 4;

    /// <summary>Number from which on ports of the plan do not take a descriptor; a very low limit keeps half for them.</summary>
    public static int MarkOfPlan(int limit) => Math.Max(limit - Reserve, limit / 2);

    /// <summary>The same for Gateway's own: whoever comes to see what is wrong may use half of the reserve.</summary>
    public static int MarkOfOwn(int limit) => limit - ((limit - MarkOfPlan(limit)) / 2);

    /// <summary>The soft limit, which .NET raises to the hard one at start; int.MaxValue where unlimited or unknown.</summary>
    public static int Read()
    {
        try
        {
            foreach (string line in File.ReadLines("/proc/self/limits"))
            {
                const string Name = "Max open files";
                if (line.StartsWith(Name, StringComparison.Ordinal))
                {
                    string soft = line[Name.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[0];
                    return int.TryParse(soft, CultureInfo.InvariantCulture, out int limit) ? limit : int.MaxValue;
                }
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // No procfs.
        }

        return int.MaxValue;
    }
}
