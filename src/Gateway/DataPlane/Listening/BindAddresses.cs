using System.Net;
using System.Net.NetworkInformation;

namespace Gateway.DataPlane.Listening;

/// <summary>The IP addresses that a list of addresses and interface names stands for at one moment.</summary>
/// <param name="Addresses">Distinct, in the order of the list.</param>
/// <param name="MissingInterfaces">Names without an interface, or whose interface has no address.</param>
/// <param name="NamesInterfaces">Whether any entry is an interface name, so that the answer may change.</param>
internal sealed record BindAddresses(
    IReadOnlyList<IPAddress> Addresses, IReadOnlyList<string> MissingInterfaces, bool NamesInterfaces)
{
    /// <summary>Looks names up with <paramref name="ofInterface"/>.</summary>
    /// <param name="options">The list.</param>
    /// <param name="ofInterface">Addresses of an interface by its name; none: there is no such interface.</param>
    /// <param name="lastSeen">
    /// Takes what was found, by name. A missing interface stands for what it was last seen with: its sockets cost nothing and
    /// serve again when it is back. Null: for nothing.
    /// </param>
    public static BindAddresses Resolve(
        ListeningOptions options,
        Func<string, IReadOnlyList<IPAddress>> ofInterface,
        Dictionary<string, IReadOnlyList<IPAddress>>? lastSeen = null)
    {
        List<IPAddress> addresses = [];
        List<string> missing = [];
        bool names = false;
        foreach (string entry in options.Addresses)
        {
            if (IPAddress.TryParse(entry, out IPAddress? literal))
            {
                Add(literal);
                continue;
            }

            names = true;
            IReadOnlyList<IPAddress> found = ofInterface(entry);
            if (found.Count == 0)
            {
                missing.Add(entry);
                found = lastSeen?.GetValueOrDefault(entry) ?? found;
            }
            else if (lastSeen is not null)
            {
                lastSeen[entry] = found;
            }

            foreach (IPAddress address in found)
            {
                Add(address);
            }
        }

        return new BindAddresses(addresses, missing, names);

        void Add(IPAddress address)
        {
            if (!addresses.Contains(address))
            {
                addresses.Add(address);
            }
        }
    }

    /// <summary>Addresses of an interface of this host; none when there is no such interface.</summary>
    public static IReadOnlyList<IPAddress> OfInterface(string name)
    {
        try
        {
            return NetworkInterface.GetAllNetworkInterfaces()
                .Where(i => i.Name == name)
                .SelectMany(i => i.GetIPProperties().UnicastAddresses)
                .Select(u => u.Address)
                .ToList();
        }
        catch (NetworkInformationException)
        {
            return []; // it went away while we looked
        }
    }
}
